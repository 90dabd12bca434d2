import "@patternfly/react-core/dist/styles/base.css";
import "./style.css";
import { createRoot } from "react-dom/client";
import { App } from "./app.tsx";
import { followColors } from "./dark.ts";

followColors();

// What may be done changes with a click in Cockpit's own window.
const permission = cockpit.permission({ admin: true });
let allowed = permission.allowed;
permission.addEventListener("changed", () => {
    if (allowed !== null && allowed !== permission.allowed)
        window.location.reload();
    allowed = permission.allowed;
});

createRoot(document.getElementById("app")!).render(<App />);
