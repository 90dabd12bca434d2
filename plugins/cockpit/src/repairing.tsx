/** A repair as portero names it, with a button where it can be run; it shows what is run before. */

import { Button } from "@patternfly/react-core/dist/esm/components/Button/index.js";
import { useState } from "react";
import { useAttempt } from "./attempt.ts";
import { Commands } from "./confirm.tsx";
import { Refused } from "./refused.tsx";
import { programs } from "./repair.ts";
import { mustAll } from "./run.ts";
import { _, format } from "./words.ts";

function Running({ commands, onDone, onClose }: { commands: string[][]; onDone(): void; onClose(): void }) {
    const { isBusy, why, attempt } = useAttempt();
    const run = () => attempt(async () => {
        await mustAll(commands);
        onClose();
        onDone();
    });
    return (
        <>
            <p>{_("Cockpit runs this on the host as root:")}</p>
            <Commands commands={commands} />
            <Refused why={why} />
            <div className="portero-actions">
                <Button isLoading={isBusy} isDisabled={isBusy} onClick={run}>{_("Run")}</Button>
                <Button variant="link" onClick={onClose}>{_("Cancel")}</Button>
            </div>
        </>
    );
}

export function Repair({ repair, untilBoot, onDone }: { repair: string; untilBoot: string | null; onDone(): void }) {
    const [isOpen, setOpen] = useState(false);
    const commands = programs(repair);
    return (
        <div className="portero-repair">
            {!isOpen && <code>{repair}</code>}
            {untilBoot && <small>{format(_("The next boot undoes this; write it into $0 too."), untilBoot)}</small>}
            {commands && !isOpen && <Button variant="secondary" size="sm" onClick={() => setOpen(true)}>{_("Repair…")}</Button>}
            {commands && isOpen && <Running commands={commands} onDone={onDone} onClose={() => setOpen(false)} />}
        </div>
    );
}
