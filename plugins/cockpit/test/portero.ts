import assert from "node:assert";
import { test } from "node:test";
import { addition, explained, inWords, removal, type Forward, type NewForward } from "../src/portero.ts";

const wanted: NewForward = {
    guest: "web",
    ports: "8080",
    guestPorts: "80",
    protocols: "tcp",
    address: "",
    sources: "",
    isPersistent: false,
    isReserved: false,
};

const forward: Forward = {
    owner: "domain",
    driver: "qemu",
    name: "web",
    uuid: "",
    forward: "[2001:db8::1]:8080-8090/udp",
    protocol: "udp",
    address: "2001:db8::1",
    ports: "8080-8090",
    guest_ports: "8080-8090",
    source: null,
    dev: null,
    in: "both",
    written: "metadata",
    state: "active",
    reason: null,
    addresses: [],
};

test("what is filled in becomes a command", () => {
    assert.equal(addition(wanted).join(" "), "portero forward add web 8080:80");
    const all = { ...wanted, guestPorts: "", protocols: "tcp,udp", address: " 2001:db8::1 ", sources: "192.0.2.0/24, !192.0.2.7" };
    assert.equal(addition({ ...all, isPersistent: true, isReserved: true }).join(" "),
        "portero forward add web [2001:db8::1]:8080/tcp,udp --source=192.0.2.0/24 --source=!192.0.2.7 --persistent --reserve=yes");
    // A name is no option.
    assert.equal(addition({ ...wanted, guest: "--help", isPersistent: true }).join(" "), "portero forward add --persistent -- --help 8080:80");
});

test("a forward is removed where it is written", () => {
    assert.equal(removal(forward)?.join(" "), "portero forward remove web [2001:db8::1]:8080-8090/udp --persistent");
    const live: Forward = { ...forward, in: "live", source: "192.0.2.0/24", sources: ["group:office"], dev: "eth0", driver: "lxc" };
    assert.equal(removal(live)?.join(" "), "portero forward remove web [2001:db8::1]:8080-8090/udp " +
        "--source=192.0.2.0/24 --source=group:office --dev=eth0 --live --connect=lxc:///system");
    assert.equal(removal({ ...forward, owner: "network" }), null);
    assert.equal(removal({ ...forward, written: "/etc/portero/domains/web.xml" }), null);
});

test("the first port of a forward is explained, and no whole address", () => {
    assert.deepEqual(explained(forward), ["[2001:db8::1]:8080/udp"]);
    assert.deepEqual(explained({ ...forward, address: null, ports: "53" }), ["53/udp"]);
    assert.equal(explained({ ...forward, protocol: null, ports: null }), null);
});

test("a command is shown as a shell takes it", () => {
    assert.equal(inWords(["portero", "forward", "add", "it's", "8080:80"]), "portero forward add 'it'\\''s' 8080:80");
    assert.equal(inWords(["a", "--source=!192.0.2.7", "b c"]), "a --source=!192.0.2.7 'b c'");
});
