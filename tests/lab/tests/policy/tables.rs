//! Tables of packets for each of libvirt's modes, without a policy and with one.

use crate::table::{holds, lines, matrix};
use crate::world::{named, World};
use portero_lab::{Proto, Scenario};

pub const SCENARIOS: &[Scenario<World>] = &[
    Scenario {
        name: "control: libvirt's own verdicts in all modes",
        run: |world| holds(world, &matrix(LIBVIRT)),
    },
    Scenario {
        name: "nat: services for a named network and a group, egress rules, IPv6 closed",
        run: |world| with_policy(world, "nat", NAT_POLICY, NAT),
    },
    Scenario {
        name: "route: closed but for what rules say, in and out and to the host",
        run: |world| with_policy(world, "route", ROUTE_POLICY, ROUTE),
    },
    Scenario {
        name: "isolated: exceptions, and the leak is closed",
        run: |world| with_policy(world, "iso", ISOLATED_POLICY, ISOLATED),
    },
    Scenario {
        name: "open: defaults and rules",
        run: |world| with_policy(world, "open", OPEN_POLICY, OPEN),
    },
    Scenario {
        name: "open with mode='nat'",
        run: open_nat,
    },
    Scenario {
        name: "open with mode='route'",
        run: |world| with_policy(world, "open", "<portero:policy mode='route'/>", OPEN_ROUTE),
    },
    Scenario {
        name: "open with mode='isolated'",
        run: |world| {
            with_policy(
                world,
                "open",
                "<portero:policy mode='isolated'/>",
                OPEN_ISOLATED,
            );
        },
    },
    Scenario {
        name: "two networks with policies: both have to consent",
        run: both,
    },
    Scenario {
        name: "nat='no': sources are kept towards a named network",
        run: sources,
    },
];

/// What libvirt lets through, and the packets of isolated guests that it should not.
const LIBVIRT: &str = "
    outside .  AA RA AA AA RR AA AA AA
    host    AA .  AA AA AA AA AA AA AA
    nat     AA AA .  AA AA RR AA AA AA
    route   AA AA RA .  AA RR AA AA AA
    far     AA AA RA AA .  RR AA AA AA
    iso     RR AA RL LL LL .  RR RR RR
    open    AA AA RA AA AA RR .  AA AA
    lan     AA AA RA AA AA RR AA .  AA
    office  AA AA RA AA AA RR AA AA .
";

fn with_policy(world: &mut World, network: &str, policy: &str, table: &str) {
    world.write(
        "groups",
        "office",
        "group",
        "<portero:peer address='192.168.55.0' prefix='24'/>
         <portero:peer address='fd00:55::' prefix='64'/>",
    );
    world.give(network, policy);
    world.is_in_order();
    holds(world, &lines(table));
    world.take(network);
    world.is_untouched();
}

const NAT_POLICY: &str = "<portero:policy>
    <portero:rule action='accept' direction='in'>
      <portero:peer network='route'/><portero:tcp dstportstart='80'/></portero:rule>
    <portero:rule action='accept' direction='in'>
      <portero:peer group='office'/><portero:icmp type='8'/><portero:icmpv6 type='128'/></portero:rule>
    <portero:rule action='reject' direction='out' priority='100' log='yes'>
      <portero:tcp dstportstart='5000'/></portero:rule>
    <portero:rule action='drop' direction='out'>
      <portero:peer address='203.0.113.0' prefix='24'/><portero:udp dstportstart='80'/></portero:rule>
  </portero:policy>";

const NAT: &str = "
    outside nat     RRRR RRRR
    host    nat     AAAA AAAA
    route   nat     ARRR ARRR
    far     nat     RRRR RRRR
    iso     nat     RRRR RRRR
    open    nat     RRRR RRRR
    lan     nat     RRRA RRRA
    office  nat     RRRA RRRA
    nat     outside ADRA AARA
    nat     host    AAAA AAAA
    nat     route   AARA AARA
    nat     far     AARA AARA
    nat     iso     RRRR RRRR
    nat     open    AARA AARA
    nat     lan     AARA AARA
    nat     office  AARA AARA
";

const ROUTE_POLICY: &str = "<portero:policy>
    <portero:default in='reject' out='accept' host='reject' log='yes'/>
    <portero:antispoof ip='yes'/>
    <portero:rule action='accept' direction='in'>
      <portero:peer address='203.0.113.2'/><portero:peer address='2001:db8:113::' prefix='64'/>
      <portero:tcp dstportstart='80'/><portero:icmp type='8'/></portero:rule>
    <portero:rule action='accept' direction='in'>
      <portero:peer network='far'/><portero:udp dstportstart='80'/></portero:rule>
    <portero:rule action='drop' direction='in'><portero:peer network='open'/></portero:rule>
    <portero:rule action='accept' direction='in'><portero:peer network='iso'/></portero:rule>
    <portero:rule action='accept' direction='in' priority='400'>
      <portero:peer network='nat' match='no'/><portero:tcp dstportstart='5000'/></portero:rule>
    <portero:rule action='accept' direction='out'>
      <portero:peer host='yes'/><portero:icmp/><portero:icmpv6/></portero:rule>
    <portero:rule action='reject' direction='out'>
      <portero:peer network='far'/><portero:tcp dstportstart='80'/></portero:rule>
    <portero:rule action='drop' direction='out' family='ipv6'>
      <portero:peer group='office'/><portero:udp dstportstart='80'/></portero:rule>
  </portero:policy>";

const ROUTE: &str = "
    outside route   ARAA ARAR
    host    route   AAAA AAAA
    nat     route   RRRR RRRR
    far     route   RAAR RAAR
    iso     route   RRRR RRRR
    open    route   DDAD DDAD
    lan     route   RRAR RRAR
    office  route   RRAR RRAR
    route   outside AAAA AAAA
    route   host    RRRA RRRA
    route   nat     RRRR AAAA
    route   far     RAAA RAAA
    route   iso     RRRR RRRR
    route   open    AAAA AAAA
    route   lan     AAAA ADAA
    route   office  AAAA ADAA
";

const ISOLATED_POLICY: &str = "<portero:policy>
    <portero:rule action='accept' direction='in'>
      <portero:peer network='route'/><portero:tcp dstportstart='80'/></portero:rule>
    <portero:rule action='accept' direction='in'>
      <portero:peer network='nat'/><portero:tcp dstportstart='80'/>
      <portero:udp dstportstart='80' dstportend='90'/></portero:rule>
    <portero:rule action='accept' direction='out'>
      <portero:peer address='203.0.113.2'/><portero:peer address='2001:db8:113::2'/>
      <portero:tcp dstportstart='80'/></portero:rule>
    <portero:rule action='accept' direction='out'>
      <portero:peer network='nat'/><portero:icmp/><portero:icmpv6/></portero:rule>
    <portero:rule action='drop' direction='out'><portero:peer network='open'/></portero:rule>
  </portero:policy>";

const ISOLATED: &str = "
    outside iso     RRRR RRRR
    host    iso     AAAA AAAA
    nat     iso     AARR AARR
    route   iso     ARRR ARRR
    far     iso     RRRR RRRR
    open    iso     RRRR RRRR
    lan     iso     RRRR RRRR
    office  iso     RRRR RRRR
    iso     outside ARRR ARRR
    iso     host    AAAA AAAA
    iso     nat     RRRR RRRA
    iso     route   RRRR RRRR
    iso     far     RRRR RRRR
    iso     open    DDDD DDDD
    iso     lan     RRRR RRRR
    iso     office  RRRR RRRR
";

const OPEN_POLICY: &str = "<portero:policy>
    <portero:default in='drop'/>
    <portero:rule action='accept' direction='in'>
      <portero:peer address='203.0.113.0' prefix='24'/>
      <portero:tcp dstportstart='80' dstportend='443'/></portero:rule>
    <portero:rule action='accept' direction='in' family='ipv6'><portero:icmpv6/></portero:rule>
    <portero:rule action='reject' direction='out'><portero:udp dstportstart='80'/></portero:rule>
  </portero:policy>";

const OPEN: &str = "
    outside open    ADDD DDDA
    host    open    AAAA AAAA
    nat     open    DDDD DDDA
    route   open    DDDD DDDA
    far     open    DDDD DDDA
    iso     open    DDDD DDDR
    lan     open    DDDD DDDA
    office  open    DDDD DDDA
    open    outside ARAA ARAA
    open    host    AAAA AAAA
    open    nat     RRRR ARAA
    open    route   ARAA ARAA
    open    far     ARAA ARAA
    open    iso     RRRR RRRR
    open    lan     ARAA ARAA
    open    office  ARAA ARAA
";

const OPEN_NAT: &str = "
    outside open    RRRR RRRR
    host    open    AAAA AAAA
    nat     open    RRRR RRRR
    route   open    RRRR RRRR
    far     open    RRRR RRRR
    iso     open    RRRR RRRR
    lan     open    RRRR RRRR
    office  open    RRRR RRRR
    open    outside AAAA AAAA
    open    host    AAAA AAAA
    open    nat     RRRR AAAA
    open    route   AAAA AAAA
    open    far     AAAA AAAA
    open    iso     RRRR RRRR
    open    lan     AAAA AAAA
    open    office  AAAA AAAA
";

const OPEN_ROUTE: &str = "
    outside open    AAAA AAAA
    host    open    AAAA AAAA
    nat     open    AAAA AAAA
    route   open    AAAA AAAA
    far     open    AAAA AAAA
    iso     open    RRRR RRRR
    lan     open    AAAA AAAA
    office  open    AAAA AAAA
    open    outside AAAA AAAA
    open    host    AAAA AAAA
    open    nat     RRRR AAAA
    open    route   AAAA AAAA
    open    far     AAAA AAAA
    open    iso     RRRR RRRR
    open    lan     AAAA AAAA
    open    office  AAAA AAAA
";

const OPEN_ISOLATED: &str = "
    outside open    RRRR RRRR
    host    open    AAAA AAAA
    nat     open    RRRR RRRR
    route   open    RRRR RRRR
    far     open    RRRR RRRR
    iso     open    RRRR RRRR
    lan     open    RRRR RRRR
    office  open    RRRR RRRR
    open    outside RRRR RRRR
    open    host    AAAA AAAA
    open    nat     RRRR RRRR
    open    route   RRRR RRRR
    open    far     RRRR RRRR
    open    iso     RRRR RRRR
    open    lan     RRRR RRRR
    open    office  RRRR RRRR
";

/// Whom a service of `to` sees when `from` asks it: address and port.
fn source(world: &World, from: &str, to: &str, proto: Proto, address: &str) -> (String, u16) {
    let line = world
        .lab
        .answers(named(from).from, proto, address, 80, &format!("{to} "));
    let words: Vec<&str> = line.split_whitespace().collect();
    let [_, _, _, "from", address, "port", port] = words[..] else {
        panic!("{line}");
    };
    (address.to_owned(), port.parse().expect("a port"))
}

fn open_nat(world: &mut World) {
    let seen = |world: &World, address: &str| source(world, "open", "outside", Proto::Tcp, address);
    let (v4, v6) = (named("outside").v4, named("outside").v6);
    assert_eq!(seen(world, v4).0, named("open").v4, "control");
    with_policy(world, "open", "<portero:policy mode='nat'/>", OPEN_NAT);
    let policy = |nat: &str| format!("<portero:policy mode='nat'>{nat}</portero:policy>");
    world.give(
        "open",
        &policy("<portero:nat><portero:port start='41000' end='41009'/></portero:nat>"),
    );
    for _ in 0..3 {
        let (address, port) = seen(world, v4);
        assert_eq!(address, named("host").v4);
        assert!((41_000..=41_009).contains(&port), "port {port}");
    }
    assert_eq!(seen(world, v6).0, named("open").v6, "IPv6 is routed");
    world.give(
        "open",
        &policy(
            "<portero:nat ipv6='yes'><portero:address start='203.0.113.7' end='203.0.113.9'/>\
             <portero:port start='42000' end='42999'/></portero:nat>",
        ),
    );
    // Somebody has to be these addresses, or no answer finds its way.
    for last in 7..=9 {
        let address = format!("203.0.113.{last}/32");
        world
            .lab
            .must("ip", &["address", "add", &address, "dev", "eth0"]);
    }
    let (address, port) = seen(world, v4);
    let taken = ["203.0.113.7", "203.0.113.8", "203.0.113.9"];
    assert!(taken.contains(&address.as_str()), "{address}");
    assert!((42_000..=42_999).contains(&port), "port {port}");
    assert_eq!(seen(world, v6).0, named("host").v6);
    for last in 7..=9 {
        let address = format!("203.0.113.{last}/32");
        world
            .lab
            .must("ip", &["address", "del", &address, "dev", "eth0"]);
    }
    world.take("open");
    world.is_untouched();
}

fn both(world: &mut World) {
    world.give("nat", "<portero:policy>
        <portero:rule action='accept' direction='in'><portero:peer network='route'/>
          <portero:tcp dstportstart='80'/></portero:rule>
        <portero:rule action='reject' direction='out'><portero:tcp dstportstart='5000'/></portero:rule>
        </portero:policy>");
    world.give(
        "route",
        "<portero:policy><portero:default in='drop' out='accept'/>
        <portero:rule action='accept' direction='in'><portero:peer network='nat'/>
          <portero:tcp/></portero:rule>
        <portero:rule action='drop' direction='out'><portero:peer network='nat'/>
          <portero:udp/></portero:rule></portero:policy>",
    );
    world.is_in_order();
    holds(
        world,
        &lines(
            "nat   route   ADRD ADRD
             route nat     ADRR ADRR
             nat   outside AARA AARA
             nat   far     AARA AARA
             far   nat     RRRR RRRR
             iso   nat     RRRR RRRR
             iso   route   DDDD DDDD
             far   route   DDDD DDDD
             route far     AAAA AAAA",
        ),
    );
    world.take("nat");
    world.take("route");
    world.is_untouched();
}

fn sources(world: &mut World) {
    let seen = |world: &World, to: &str| {
        let (place, proto) = (named(to), Proto::Tcp);
        source(world, "nat", to, proto, place.v4).0
    };
    assert_ne!(seen(world, "route"), named("nat").v4, "control");
    world.give(
        "nat",
        "<portero:policy><portero:rule action='accept' direction='out'>
           <portero:peer network='route' nat='no'/></portero:rule></portero:policy>",
    );
    assert_eq!(seen(world, "route"), named("nat").v4);
    assert_ne!(seen(world, "far"), named("nat").v4);
    assert_eq!(seen(world, "outside"), named("host").v4);
    world.take("nat");
    assert_ne!(seen(world, "route"), named("nat").v4);
    world.is_untouched();
}
