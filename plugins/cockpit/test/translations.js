import assert from "node:assert";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { entries, translations } from "../po.js";

const source = readdirSync("src").filter(file => /\.tsx?$/.test(file)).map(file => readFileSync(`src/${file}`, "utf8")).join("");
const texts = new Set([...source.matchAll(/\b_\("((?:[^"\\]|\\.)*)"\)/g)].map(match => JSON.parse(`"${match[1]}"`)));

/** `$0` and the like. */
const holes = text => (text.match(/\$\d/g) ?? []).sort();

test("each translation has all texts of the page, and no others", () => {
    assert.ok(texts.size > 100);
    for (const file of readdirSync("po")) {
        const translated = entries(readFileSync(`po/${file}`, "utf8"));
        assert.deepEqual([...translated.keys()].sort(), [...texts].sort(), file);
        for (const [id, text] of translated)
            assert.deepEqual(holes(text), holes(id), id);
    }
});

test("a translation is what Cockpit loads", () => {
    const text = translations("es", 'msgid ""\nmsgstr "Language: es\\n"\n\n# a button\nmsgid "Add \\"$0\\""\nmsgstr "Añadir «$0»"\n');
    assert.equal(text, 'cockpit.locale({"":{"language":"es","language-direction":"ltr"},"Add \\"$0\\"":[null,"Añadir «$0»"]});\n');
    assert.throws(() => entries("msgid_plural \"x\"\n"));
});
