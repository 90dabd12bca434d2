/** A repair, as portero names it, as programs with their arguments. */

/** What a repair may run. An editor needs a terminal, and a sentence is for people. */
const PROGRAMS = ["portero", "virsh", "systemctl", "sysctl", "ip", "nft", "iptables", "ip6tables", "firewall-cmd", "ufw",
    "chmod", "mkdir", "ln", "sed"];

/** What a shell does more with than to take it for a word, or people have to fill in: `DOMAIN`. */
const NOT_A_WORD = /[|<>;&$`(){}*?~,]|^[A-Z]{3,}$/;

/**
 * The programs of a repair such as `chmod 0755 'my file' && portero sync`; nothing if some of it is not a program with plain
 * arguments.
 */
export function programs(repair: string): string[][] | null {
    const all: string[][] = [];
    for (const command of split(repair) ?? []) {
        const [program, verb] = command;
        if (!PROGRAMS.includes(program) || (program === "virsh" && /edit/.test(verb)))
            return null;
        all.push(command);
    }
    return all.length > 0 ? all : null;
}

/** The words of commands that `&&` is between; nothing if a shell would do more with one. */
function split(text: string): string[][] | null {
    const commands: string[][] = [[]];
    let at = 0;
    while (at < text.length) {
        if (text[at] === " ") {
            at += 1;
            continue;
        }
        if (text.startsWith("&& ", at)) {
            commands.push([]);
            at += 3;
            continue;
        }
        let word = "";
        let isQuoted = false;
        while (at < text.length && text[at] !== " ") {
            const quote = text[at];
            if (quote === "'" || quote === '"') {
                const end = text.indexOf(quote, at + 1);
                const inside = text.slice(at + 1, end);
                if (end < 0 || (quote === '"' && /[$`\\]/.test(inside)))
                    return null;
                word += inside;
                isQuoted = true;
                at = end + 1;
            } else if (quote === "\\") {
                word += text[at + 1] ?? "";
                at += 2;
            } else {
                if (NOT_A_WORD.test(quote))
                    return null;
                word += quote;
                at += 1;
            }
        }
        if (!isQuoted && NOT_A_WORD.test(word))
            return null;
        commands[commands.length - 1].push(word);
    }
    return commands.every(command => command.length > 0) ? commands : null;
}
