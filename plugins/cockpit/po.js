// Reads po files, as gettext has them: single lines of msgid and msgstr, without plurals.

/** Each text with its translation. */
export function entries(text) {
    const found = new Map();
    let id = null;
    for (const line of text.split("\n")) {
        const match = /^(msgid|msgstr) (".*")$/.exec(line);
        if (!match) {
            if (line.trim() !== "" && !line.startsWith("#"))
                throw new Error(`not understood: ${line}`);
            continue;
        }
        const value = JSON.parse(match[2]);
        if (match[1] === "msgid")
            id = value;
        else if (id !== "" && value !== "")
            found.set(id, value);
    }
    return found;
}

/** What Cockpit loads as po.js when a language is chosen. */
export function translations(language, text) {
    const all = { "": { language, "language-direction": "ltr" } };
    for (const [id, value] of entries(text))
        all[id] = [null, value];
    return `cockpit.locale(${JSON.stringify(all)});\n`;
}
