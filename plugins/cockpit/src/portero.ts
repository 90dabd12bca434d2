/** What portero prints as JSON, and the commands that print and change it. */

import { follow, must, read, Refusal } from "./run.ts";

/** `portero status --json`. */
export interface Status {
    networks: Network[];
    guests: Guest[];
    forwards: Counted[];
    stopped: Stopped[];
    unread_rules: string[];
}

export interface Network {
    name: string;
    uuid: string;
    mode: string;
    bridge: string | null;
    addresses: string[];
    guests: number;
    policy: { in: string; out: string; host: string; rules: number; in_firewall: boolean } | null;
    problems: string[];
}

export interface Guest {
    name: string | null;
    uuid: string;
    driver: string;
    interfaces: { mac: string; network: string | null; target: string | null; addresses: string[] }[];
}

/** One range of ports in the firewall. */
export interface Counted {
    uuid: string;
    protocol: string;
    address: string | null;
    ports: string;
    dev: string | null;
    connections: number | null;
    packets: number | null;
    bytes: number | null;
}

/** What the rules of others stop. */
export interface Stopped {
    owner: string;
    name: string;
    what: string;
    certainty: "sure" | "doubtful";
    by: string;
    explain: string;
}

/** `portero forward list --json`. */
export interface Listing {
    forwards: Forward[];
    wrong: { owner: string; name: string; error: string }[];
}

/** A forward as it is written, and its state. */
export interface Forward {
    owner: "domain" | "network";
    driver: "qemu" | "lxc" | null;
    name: string;
    uuid: string;
    /** As `portero forward add` takes it. */
    forward: string;
    protocol: string | null;
    address: string | null;
    ports: string | null;
    guest_ports: string | null;
    source: string | null;
    sources?: string[];
    dev: string | null;
    in: "live" | "config" | "both";
    /** `metadata`, or a file. */
    written: string;
    state: "active" | "missing" | "pending" | "claimed" | "off";
    reason: string | null;
    addresses: string[];
}

/** `portero explain --json`. */
export interface Explained {
    hops: Hop[];
    fails: string | null;
    mend: string | null;
    until_boot: string | null;
}

export interface Hop {
    hop: string;
    state: "ok" | "fails" | "unknown";
    text: string;
    mend?: string;
}

/** `portero doctor --json`. */
export interface Report {
    checked: string[];
    findings: Finding[];
}

export interface Finding {
    check: string;
    finding: string;
    mend: string;
    until_boot: string | null;
}

/** `portero policy show --json`: one of each network that has a policy. */
export interface Policy {
    network: string;
    origin: string | null;
    line: number | null;
    in_firewall: boolean;
    clauses: {
        way: string;
        clause: string;
        line: number | null;
        verdict: string;
        match: string;
        comment: string | null;
        packets: number | null;
        bytes: number | null;
    }[];
    nat: string[];
    neighbors: string[];
    warnings: string[];
}

/** `portero bridge status --json`. */
export interface Bridge {
    bridge: string;
    nics: string[];
    addresses: string[];
    state: "confirmed" | "waiting" | "changing" | "half done";
    seconds_left: number | null;
}

/** Calls with each change of the status, until it is closed. */
export function followStatus(take: (status: Status) => void, end: (why: Refusal) => void) {
    return follow(["portero", "status", "--watch", "--json"], take, end);
}

export const listForwards = () => read<Listing>(["portero", "forward", "list", "--json"]);
export const explain = (words: string[]) => read<Explained>(["portero", "explain", "--json", ...words], [0, 1]);
export const doctor = () => read<Report>(["portero", "doctor", "--json"], [0, 1]);
export const policies = () => read<Policy[]>(["portero", "policy", "show", "--json"]);
export const bridges = () => read<Bridge[]>(["portero", "bridge", "status", "--json"]);
export const map = async () => (await must(["portero", "map", "--format", "svg"])).stdout;

/** The NICs that a bridge can be made of. */
export async function nics(): Promise<string[]> {
    const { nics } = await read<{ nics: { name: string; kind: string }[] }>(["portero", "map", "--format", "json"]);
    return nics.filter(nic => nic.kind !== "wireless").map(nic => nic.name);
}

/** Names of all domains of libvirt's that virsh knows; none where virsh is not installed. */
export async function domains(): Promise<string[]> {
    try {
        const { stdout } = await must(["virsh", "-q", "-c", "qemu:///system", "list", "--all", "--name"]);
        return stdout.split("\n").filter(name => name !== "");
    } catch {
        return [];
    }
}

/** What `portero forward add` is asked for. */
export interface NewForward {
    guest: string;
    ports: string;
    guestPorts: string;
    protocols: string;
    address: string;
    /** Addresses, networks and groups, with spaces or commas between. */
    sources: string;
    isPersistent: boolean;
    isReserved: boolean;
}

/** A command with names, which no dash makes an option of. */
function command(verbs: string[], names: string[], options: string[]): string[] {
    const isPlain = names.every(name => !name.startsWith("-"));
    return isPlain ? ["portero", ...verbs, ...names, ...options] : ["portero", ...verbs, ...options, "--", ...names];
}

/** The command that adds it. */
export function addition(wanted: NewForward): string[] {
    const address = wanted.address.trim();
    const at = address === "" ? "" : `${address.includes(":") ? `[${address}]` : address}:`;
    const to = wanted.guestPorts.trim() === "" ? "" : `:${wanted.guestPorts.trim()}`;
    const protocols = wanted.protocols === "tcp" ? "" : `/${wanted.protocols}`;
    const options = wanted.sources.split(/[\s,]+/).filter(source => source !== "").map(source => `--source=${source}`);
    if (wanted.isPersistent)
        options.push("--persistent");
    if (wanted.isReserved)
        options.push("--reserve=yes");
    return command(["forward", "add"], [wanted.guest, `${at}${wanted.ports.trim()}${to}${protocols}`], options);
}

/** The command that removes a forward; nothing if it is not in a domain's metadata. */
export function removal(forward: Forward): string[] | null {
    if (forward.owner !== "domain" || forward.written !== "metadata")
        return null;
    const options = [forward.source, ...forward.sources ?? []].filter(source => source).map(source => `--source=${source}`);
    if (forward.dev)
        options.push(`--dev=${forward.dev}`);
    options.push({ both: "--persistent", live: "--live", config: "--config" }[forward.in]);
    if (forward.driver === "lxc")
        options.push("--connect=lxc:///system");
    return command(["forward", "remove"], [forward.name, forward.forward], options);
}

/** What `portero explain` takes for a forward's first port; nothing for a whole address. */
export function explained(forward: Forward): string[] | null {
    if (!forward.ports || !forward.protocol)
        return null;
    const address = forward.address?.includes(":") ? `[${forward.address}]` : forward.address;
    const port = forward.ports.split("-")[0];
    return [`${address ? `${address}:` : ""}${port}/${forward.protocol}`];
}

/** What a forward has counted, where the firewall counts. */
export function counted(forward: Forward, status: Status): { connections: number | null; bytes: number | null } {
    const own = status.forwards.filter(one =>
        one.uuid === forward.uuid && one.protocol === forward.protocol && one.ports === forward.ports &&
        one.dev === forward.dev && (forward.address === null || one.address === forward.address));
    const sum = (of: (one: Counted) => number | null) => {
        const known = own.map(of).filter(count => count !== null);
        return known.length > 0 ? known.reduce((sum, count) => sum + count, 0) : null;
    };
    return { connections: sum(one => one.connections), bytes: sum(one => one.bytes) };
}

/** A command as a shell takes it, to be read. */
export function inWords(words: string[]): string {
    return words.map(word => /^[\w@%+=:,./![\]-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`).join(" ");
}
