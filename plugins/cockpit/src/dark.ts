/** The colors that are chosen in Cockpit's menu. */

const DARK = "pf-v6-theme-dark";
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");

function apply(chosen: string) {
    const isDark = chosen === "dark" || (chosen !== "light" && prefersDark.matches);
    document.documentElement.classList.toggle(DARK, isDark);
}

const again = () => apply(localStorage.getItem("shell:style") ?? "auto");

/** Follows the choice from now on. */
export function followColors() {
    window.addEventListener("storage", event => event.key === "shell:style" && again());
    window.addEventListener("cockpit-style", event => apply((event as CustomEvent<{ style: string }>).detail.style));
    prefersDark.addEventListener("change", again);
    again();
}
