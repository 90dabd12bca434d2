#!/usr/bin/env bash
IPT="/usr/sbin/iptables -w"; NAME='db server'
LAN=10.0.0.0/8

if [[ $1 == "mail" ]] && [ "$2" != "stopped" ]
then
  $IPT -t nat -A PREROUTING -i eth0 -d 203.0.113.1 -s $LAN -p tcp -m multiport \
      --dports 25,587,60000:60010 -j DNAT --to-destination "192.168.122.20"
  $IPT -t nat -A OUTPUT -d 203.0.113.1 -p tcp --dport 25 -j DNAT --to 192.168.122.20:25
  $IPT -t nat -A OUTPUT -p tcp --dport 2525 -j DNAT --to 192.168.122.20:25
  $IPT -t nat -A POSTROUTING -s 192.168.122.0/24 -d 192.168.122.20 -j MASQUERADE
elif test "$1" = "$NAME"; then
  if [ $2 = start ]; then
    $IPT -t nat -I PREROUTING 1 -p udp --dport 5432 -m comment --comment "the # database" -j DNAT --to 192.168.122.21:5433
    ip6tables -t nat -A PREROUTING -p tcp --dport 5432 -j DNAT --to '[fd00::21]:5432'
    $IPT -t nat -A PREROUTING -p tcp --dport 1 -j DNAT --to 192.168.122.21
    $IPT -t nat -D PREROUTING -p tcp --dport 1 -j DNAT --to 192.168.122.21
  elif [ $2 = stopped ]; then
    $IPT -t nat -D PREROUTING -p udp --dport 5432 -j DNAT --to 192.168.122.21:5433
  fi
fi
exit 0
