/** What the page uses of Cockpit's cockpit.js, which the page loads from ../base1: all of it is in Cockpit 287, Debian 12's. */

interface ProcessError {
    /** `access-denied`, `not-found` and others, if the program did not run. */
    problem: string | null;
    exit_status: number | null;
    /** stderr, with `err: "message"`. */
    message: string;
}

interface Process {
    stream(take: (data: string) => void): Process;
    done(take: (stdout: string, stderr: string) => void): Process;
    fail(take: (error: ProcessError, stdout: string) => void): Process;
    close(problem?: string): void;
}

interface Cockpit {
    spawn(words: string[], options: { superuser: "require"; err: "message" }): Process;
    gettext(text: string): string;
    format(text: string, ...values: (string | number)[]): string;
    permission(options: { admin: boolean }): {
        allowed: boolean | null;
        addEventListener(event: "changed", take: () => void): void;
    };
    location: { path: string[]; go(path: string[]): void };
    language: string;
    hidden: boolean;
    addEventListener(event: "locationchanged" | "visibilitychange", take: () => void): void;
    removeEventListener(event: "locationchanged" | "visibilitychange", take: () => void): void;
}

declare const cockpit: Cockpit;
declare module "*.css";
