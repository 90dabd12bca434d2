/** Text in the language that is chosen in Cockpit. */

export const _ = (text: string) => cockpit.gettext(text);
export const format = (text: string, ...values: (string | number)[]) => cockpit.format(text, ...values);

/** `12.3 kB`. */
export function bytes(count: number | null): string {
    if (count === null)
        return "–";
    const units = ["B", "kB", "MB", "GB", "TB"];
    let at = 0;
    while (count >= 1000 && at + 1 < units.length) {
        count /= 1000;
        at += 1;
    }
    return `${count.toLocaleString(cockpit.language.replace("_", "-"), { maximumFractionDigits: 1 })} ${units[at]}`;
}
