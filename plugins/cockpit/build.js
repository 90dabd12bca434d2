// Builds the page into dist/, the same bytes each time: `npm run build`.

import { build } from "esbuild";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { translations } from "./po.js";

const out = "dist";
rmSync(out, { recursive: true, force: true });
mkdirSync(out);

// PatternFly's fonts and pictures: Cockpit has fonts of its own, and the page shows no such picture.
const withoutAssets = {
    name: "without-assets",
    setup({ onLoad }) {
        onLoad({ filter: /react-core\/dist\/styles\/base\.css$/ }, ({ path }) => ({
            contents: readFileSync(path, "utf8")
                .replace(/@font-face\s*{[^}]*}/g, "")
                .replace(/url\("\.\/assets[^)]*\)/g, "none"),
            loader: "css",
        }));
    },
};

await build({
    entryPoints: ["src/index.tsx"],
    outdir: out,
    bundle: true,
    minify: true,
    target: "es2020",
    format: "iife",
    jsx: "automatic",
    define: { "process.env.NODE_ENV": '"production"' },
    external: ["../../static/*"],
    legalComments: "external",
    plugins: [withoutAssets],
});

for (const file of ["index.html", "manifest.json"])
    copyFileSync(`src/${file}`, `${out}/${file}`);
for (const file of readdirSync("po").sort()) {
    const language = file.replace(/\.po$/, "");
    writeFileSync(`${out}/po.${language}.js`, translations(language, readFileSync(`po/${file}`, "utf8")));
}
