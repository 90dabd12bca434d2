/** A repair as portero names it, with a button where it can be run. */

import { Button } from "@patternfly/react-core/dist/esm/components/Button/index.js";
import { useState } from "react";
import { Confirm } from "./confirm.tsx";
import { programs } from "./repair.ts";
import { _, format } from "./words.ts";

export function Repair({ repair, untilBoot, onDone }: { repair: string; untilBoot: string | null; onDone(): void }) {
    const [isOpen, setOpen] = useState(false);
    const commands = programs(repair);
    const note = untilBoot ? format(_("The next boot undoes this; write it into $0 too."), untilBoot) : "";
    return (
        <div className="portero-repair">
            <code>{repair}</code>
            {note !== "" && <small>{note}</small>}
            {commands && <Button variant="secondary" size="sm" onClick={() => setOpen(true)}>{_("Repair…")}</Button>}
            {commands && isOpen && (
                <Confirm
                    title={_("Repair")}
                    text={`${_("Cockpit runs this on the host as root:")} ${note}`}
                    commands={commands}
                    action={_("Run")}
                    onDone={onDone}
                    onClose={() => setOpen(false)}
                />
            )}
        </div>
    );
}
