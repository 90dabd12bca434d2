/** Runs programs of the host as root, each with its list of arguments and never by a shell. */

/** What came of a program that ran. */
export interface Ran {
    status: number;
    stdout: string;
    stderr: string;
}

/** Why there is no answer. */
export class Refusal extends Error {
    constructor(public problem: string | null, message: string) {
        super(message);
    }
}

/** What was caught, as a refusal. */
export function refusal(caught: unknown): Refusal {
    return caught instanceof Refusal ? caught : new Refusal(null, String(caught));
}

const AS_ROOT = { superuser: "require", err: "message" } as const;

/** Runs a program to its end, whatever its status is. */
export function run(words: string[]): Promise<Ran> {
    return new Promise((resolve, reject) => {
        cockpit.spawn(words, AS_ROOT)
            .done((stdout, stderr) => resolve({ status: 0, stdout, stderr: stderr ?? "" }))
            .fail((error, stdout) => {
                if (error.problem || error.exit_status === null)
                    reject(new Refusal(error.problem, error.message));
                else
                    resolve({ status: error.exit_status, stdout: stdout ?? "", stderr: error.message });
            });
    });
}

/** Runs a program that must exit with one of these; a refusal has the program's own line. */
export async function must(words: string[], statuses = [0]): Promise<Ran> {
    const ran = await run(words);
    if (!statuses.includes(ran.status))
        throw new Refusal(null, ran.stderr.trim() || ran.stdout.trim());
    return ran;
}

/** Runs programs one after the other, until one fails. */
export async function mustAll(commands: string[][]): Promise<void> {
    for (const words of commands)
        await must(words);
}

/** The JSON that a program prints. */
export async function read<T>(words: string[], statuses = [0]): Promise<T> {
    const { stdout, stderr } = await run(words).then(ran => {
        if (!statuses.includes(ran.status))
            throw new Refusal(null, ran.stderr.trim());
        return ran;
    });
    try {
        return JSON.parse(stdout);
    } catch {
        // `doctor` exits with 1 for a finding and for a failure: then there is no JSON.
        throw new Refusal(null, stderr.trim() || stdout.trim());
    }
}

/** A program that prints a line of JSON when something changes; ends when it is closed. */
export function follow<T>(words: string[], take: (value: T) => void, end: (why: Refusal) => void): { close(): void } {
    let rest = "";
    let isClosed = false;
    const process = cockpit.spawn(words, AS_ROOT)
        .stream(data => {
            const lines = (rest + data).split("\n");
            rest = lines.pop() ?? "";
            for (const line of lines)
                take(JSON.parse(line));
        })
        .done(() => isClosed || end(new Refusal(null, "")))
        .fail(error => isClosed || end(new Refusal(error.problem, error.message.trim())));
    return {
        close() {
            isClosed = true;
            process.close("terminated");
        },
    };
}
