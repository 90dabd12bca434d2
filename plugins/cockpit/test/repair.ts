import assert from "node:assert";
import { test } from "node:test";
import { programs } from "../src/repair.ts";

test("commands become programs with their arguments", () => {
    assert.deepEqual(programs("portero sync"), [["portero", "sync"]]);
    assert.deepEqual(programs("chmod 0755 '/etc/my hooks/a' && systemctl try-restart libvirtd"),
        [["chmod", "0755", "/etc/my hooks/a"], ["systemctl", "try-restart", "libvirtd"]]);
    assert.deepEqual(programs("sed -i 's/^firewall *=.*/firewall = \"auto\"/' /etc/portero/portero.toml && portero sync"),
        [["sed", "-i", "s/^firewall *=.*/firewall = \"auto\"/", "/etc/portero/portero.toml"], ["portero", "sync"]]);
    assert.deepEqual(programs("portero forward add 'it'\\''s' 80"), [["portero", "forward", "add", "it's", "80"]]);
});

test("what is for people, or for a shell, is not run", () => {
    for (const repair of [
        "in the guest: ip route add default via 192.0.2.1",
        "wait 30 s",
        "virsh edit web",
        "virsh net-edit lan",
        "portero forward add DOMAIN 8099:GUESTPORT/tcp --persistent",
        "systemctl try-restart libvirtd virtlxcd, or take the line out of /etc/libvirt/network.conf",
        "echo '<network/>' > /etc/portero/networks/lan.xml && portero sync",
        "ausearch -m avc -ts boot | grep portero",
        "portero sync; reboot",
        "portero sync $(reboot)",
        "portero sync && rm -rf /",
        "portero sync && ",
        "portero 'sync",
        "",
    ])
        assert.equal(programs(repair), null, repair);
});
