// A browser that does what lines of JSON on stdin say, and answers each with a line: the suite cockpit's hand.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [project, address] = process.argv.slice(2);
const { chromium } = createRequire(`${project}/plugins/cockpit/package.json`)("playwright-core");

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-US", reducedMotion: "reduce" });
context.setDefaultTimeout(60_000);
const page = await context.newPage();
// What the page complains of.
const complaints = [];
page.on("pageerror", error => complaints.push(String(error)));
page.on("console", message => message.type() === "error" && complaints.push(message.text()));

// All that it has asked for.
const addresses = new Set();
page.on("request", request => addresses.add(request.url()));

/** portero's page, or Cockpit's window around it. */
const place = where => where === "shell" ? page : page.frameLocator('iframe[name="cockpit1:localhost/portero"]');
const found = ({ where, role, name, css }) =>
    (css ? place(where).locator(css) : place(where).getByRole(role, { name, exact: true })).first();

/** The frame of portero's page. */
const frame = () => page.frames().find(frame => frame.name() === "cockpit1:localhost/portero");

const verbs = {
    open: ({ path }) => page.goto(`${address}${path}`),
    click: step => found(step).click(),
    fill: step => found(step).fill(step.text),
    choose: step => found(step).selectOption(step.text),
    focus: step => found(step).focus(),
    press: ({ key }) => page.keyboard.press(key),
    type: ({ text }) => page.keyboard.type(text),
    see: ({ where, text }) => place(where).getByText(text).locator("visible=true").first().waitFor(),
    gone: step => found(step).waitFor({ state: "hidden" }),
    await: step => found(step).waitFor(),
    text: step => found(step).innerText(),
    count: ({ where, css }) => place(where).locator(css).count(),
    size: ({ width, height }) => page.setViewportSize({ width, height }),
    colors: ({ text }) => page.evaluate(style => {
        localStorage.setItem("shell:style", style);
        for (const one of [window, ...Array.from({ length: window.length }, (_, at) => window[at])])
            one.dispatchEvent(new CustomEvent("cockpit-style", { detail: { style } }));
    }, text),
    // What has the keyboard: its role or tag, and its name.
    focused: () => frame().evaluate(() => {
        const { activeElement: one } = document;
        return `${one.tagName.toLowerCase()} ${one.getAttribute("aria-label") || one.labels?.[0]?.innerText || one.innerText}`.trim();
    }),
    // By how much the page is wider than there is room for.
    excess: () => frame().evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
    background: () => frame().evaluate(() => getComputedStyle(document.querySelector(".pf-v6-c-card")).backgroundColor),
    shoot: async ({ path, css }) => {
        if (css)
            await found({ css }).screenshot({ path, animations: "disabled" });
        else
            await page.screenshot({ path, animations: "disabled" });
    },
    complaints: () => complaints.splice(0),
    addresses: () => [...addresses],
    language: ({ text }) => context.addCookies([{ name: "CockpitLang", value: text, url: address }]),
    // Who has logged in never before.
    forget: async () => {
        await context.clearCookies();
        await page.evaluate(() => localStorage.clear()).catch(() => null);
    },
};

for await (const line of createInterface({ input: process.stdin })) {
    const step = JSON.parse(line);
    let answer;
    try {
        const value = await verbs[step.do](step);
        answer = { ok: true, value: ["string", "number"].includes(typeof value) || Array.isArray(value) ? value : null };
    } catch (error) {
        answer = { ok: false, value: String(error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
