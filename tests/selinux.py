"""What tests/selinux expects of the policy module, asked of setools: LIST ['accept']."""

import difflib
import os
import re
import sys

import setools

WORK = os.environ["PORTERO_MODULE"]
POLICIES = {name: setools.SELinuxPolicy(f"{WORK}/{name}.policy") for name in ("debian", "fedora")}


def fail(message):
    sys.exit(f"tests/selinux: {message}")


def allowed(policy, source, target, tclass, permission):
    target = source if target == "self" else target
    query = setools.TERuleQuery(
        POLICIES[policy], ruletype=["allow"], source=source, target=target, tclass=[tclass], perms=[permission]
    )
    return any(True for _ in query.results())


def transition(policy, source, program, domain):
    """Whether running a program changes the domain, and may."""
    query = setools.TERuleQuery(
        POLICIES[policy], ruletype=["type_transition"], source=source, target=program, tclass=["process"]
    )
    if domain not in [str(rule.default) for rule in query.results()]:
        fail(f"{policy}: {source} does not become {domain} by {program}")
    needed = [
        (source, program, "file", "execute"),
        (domain, program, "file", "entrypoint"),
        (source, domain, "process", "transition"),
        (domain, source, "process", "sigchld"),
        (domain, source, "fifo_file", "read"),
    ]
    for rule in needed:
        # What systemd starts has its output elsewhere.
        if not allowed(policy, *rule) and not (source == "init_t" and rule[2] == "fifo_file"):
            fail(f"{policy}: not allowed: {' '.join(rule)}")


HOOKED = {
    "debian": ["virtd_t", "virtd_lxc_t"],
    "fedora": ["virtqemud_t", "virtnetworkd_t", "virtproxyd_t", "virtd_lxc_t", "virtd_t"],
}
for policy, daemons in HOOKED.items():
    for daemon in daemons:
        transition(policy, daemon, "portero_hook_exec_t", "portero_hook_t")
        # Who runs it, and whether that one's threads have made its rules.
        for tclass in ("file", "dir"):
            if not allowed(policy, "portero_hook_t", daemon, tclass, "read"):
                fail(f"{policy}: the hook does not see who runs it, {daemon}")
        finds = allowed(policy, daemon, "virt_hook_t", "lnk_file", "read") if policy == "fedora" else True
        # libvirtd is unconfined there.
        if not finds and daemon != "virtd_t":
            fail(f"{policy}: {daemon} does not find the hook")
    transition(policy, "init_t", "portero_watch_exec_t", "portero_watch_t")
    transition(policy, "init_t", "portero_exec_t", "portero_t")
    transition(policy, "portero_hook_t", "iptables_exec_t", "iptables_t")
    transition(policy, "portero_watch_t", "iptables_exec_t", "iptables_t")
    transition(policy, "portero_hook_t", "ifconfig_exec_t", "ifconfig_t")
    transition(policy, "portero_watch_t", "ifconfig_exec_t", "ifconfig_t")
    transition(policy, "portero_hook_t", "portero_exec_t", "portero_t")
    # Its unit has NoNewPrivileges.
    for rule in [
        ("init_t", "portero_watch_t"),
        ("portero_watch_t", "iptables_t"),
        ("portero_watch_t", "ifconfig_t"),
        ("init_t", "portero_t"),
    ]:
        if not allowed(policy, *rule, "process2", "nnp_transition"):
            fail(f"{policy}: without new privileges {rule[0]} does not become {rule[1]}")
    # Control: what nobody has written.
    for rule in [("portero_watch_t", "portero_t"), ("portero_watch_t", "portero_hook_t"), ("dnsmasq_t", "portero_hook_t")]:
        if allowed(policy, *rule, "process", "transition"):
            fail(f"{policy}: {rule[0]} becomes {rule[1]}")
print("ok every daemon of libvirt runs the hooks in their domain, systemd the service in its own, and both the firewall")

NEEDED = """
self capability net_admin
self netlink_netfilter_socket create
self netlink_netfilter_socket setopt
self netlink_route_socket nlmsg_write
self netlink_route_socket nlmsg_read
self tcp_socket bind
self udp_socket bind
http_port_t tcp_socket name_bind
dns_port_t udp_socket name_bind
portero_etc_t file read
portero_var_run_t dir create
portero_var_run_t file create
portero_var_run_t file rename
portero_var_run_t file lock
virt_etc_t file read
virt_var_run_t dir read
virt_var_lib_t file read
virtqemud_var_run_t file read
svirt_var_run_t file read
dnsmasq_var_run_t file read
virt_lxc_var_run_t file read
sysctl_net_t file write
proc_net_t file read
sysfs_t dir read
kernel_t system module_request
iptables_t process sigkill
devlog_t sock_file write
svirt_t dir search
"""
TOO_MUCH = """
self capability sys_admin
self capability dac_override
self capability sys_ptrace
self capability sys_module
self capability setuid
self capability net_raw
self packet_socket create
etc_t file write
etc_t dir write
portero_etc_t file write
virt_etc_t file write
virt_var_run_t file write
virt_var_run_t sock_file write
virtd_t unix_stream_socket connectto
virtqemud_t unix_stream_socket connectto
bin_t file execute
shell_exec_t file execute
shadow_t file read
user_home_t file read
virt_image_t file read
svirt_t file read
init_t unix_stream_socket connectto
init_t dbus send_msg
http_port_t tcp_socket name_connect
"""
for expected, rules in ((True, NEEDED), (False, TOO_MUCH)):
    for rule in rules.split("\n"):
        for domain in ("portero_hook_t", "portero_watch_t"):
            if rule and allowed("fedora", domain, *rule.split()) != expected:
                fail(f"{domain} may {'not ' if expected else ''}{rule}")
for source, rule, expected in [
    ("portero_hook_t", "self capability net_bind_service", True),
    ("portero_watch_t", "self capability net_bind_service", False),
    # `--when-ready`
    ("portero_hook_t", "portero_hook_exec_t file execute_no_trans", True),
    ("portero_watch_t", "firewalld_t dbus send_msg", True),
    ("portero_watch_t", "portero_var_run_t dir watch", True),
    ("portero_watch_t", "init_t unix_dgram_socket sendto", True),
    ("portero_hook_t", "firewalld_t dbus send_msg", False),
    ("iptables_t", "portero_var_run_t file lock", True),
]:
    if allowed("fedora", source, *rule.split()) != expected:
        fail(f"{source} may {'not ' if expected else ''}{rule}")
print("ok both may do what they need, and nothing of what would be too much")

LABELS = {
    "/usr/bin/portero": "portero_exec_t",
    "/usr/bin/portero-watch": "portero_watch_exec_t",
    "/usr/bin/portero-qemu-hook": "portero_hook_exec_t",
    "/usr/bin/portero-network-hook": "portero_hook_exec_t",
    "/usr/bin/portero-daemon-hook": "portero_hook_exec_t",
    "/usr/bin/portero-lxc-hook": "portero_hook_exec_t",
    "/etc/portero": "portero_etc_t",
    "/etc/portero/portero.toml": "portero_etc_t",
    "/run/portero/lock": "portero_var_run_t",
    "/var/run/portero/lock": "portero_var_run_t",
    "/var/lib/portero/bridges": "portero_var_lib_t",
    # Control: whose it is not.
    "/usr/bin/portero-other": None,
    "/etc/porteros": None,
}
contexts = []
with open(f"{WORK}/portero.fc", encoding="utf-8") as lines:
    for line in lines:
        words = line.split()
        if words and not line.startswith("#"):
            contexts.append((words[0], words[-1].split(":")[2].split(",")[0]))
for path, expected in LABELS.items():
    found = [label for pattern, label in contexts if re.fullmatch(pattern, path)]
    if found != ([expected] if expected else []):
        fail(f"{path} is labelled {found}, expected {expected}")
print("ok the programs, settings and state have their labels")

rules = set()
for source in ("portero_domain", "portero_hook_t", "portero_watch_t"):
    query = setools.TERuleQuery(POLICIES["fedora"], ruletype=["allow"], source=source, source_indirect=False)
    rules.update(str(rule) for rule in query.results())
rules = sorted(rules)
if sys.argv[2] == "accept":
    with open(sys.argv[1], "w", encoding="utf-8") as accepted:
        accepted.write("\n".join(rules) + "\n")
with open(sys.argv[1], encoding="utf-8") as accepted:
    expected = accepted.read().splitlines()
if expected != rules:
    print("\n".join(difflib.unified_diff(expected, rules, "listed", "found", lineterm="")))
    fail(f"our domains may do something else than {sys.argv[1]} says")
print(f"ok they may do no more: {len(rules)} rules, as listed")
