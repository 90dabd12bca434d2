/** Why a port is reached or not, hop by hop. */

import { Alert } from "@patternfly/react-core/dist/esm/components/Alert/index.js";
import { Button } from "@patternfly/react-core/dist/esm/components/Button/index.js";
import { Label } from "@patternfly/react-core/dist/esm/components/Label/index.js";
import { Modal, ModalBody, ModalFooter, ModalHeader } from "@patternfly/react-core/dist/esm/components/Modal/index.js";
import { Spinner } from "@patternfly/react-core/dist/esm/components/Spinner/index.js";
import { useEffect, useState } from "react";
import { explain, type Explained, type Hop } from "./portero.ts";
import { Refused } from "./refused.tsx";
import { Repair } from "./repairing.tsx";
import { refusal, type Refusal } from "./run.ts";
import { Table } from "./table.tsx";
import { _, format } from "./words.ts";

function State({ state }: { state: Hop["state"] }) {
    switch (state) {
        case "ok": return <Label status="success" isCompact>{_("ok")}</Label>;
        case "fails": return <Label status="danger" isCompact>{_("fails")}</Label>;
        default: return <Label status="info" isCompact>{_("unknown")}</Label>;
    }
}

/** What `portero explain` finds for a port or a guest. */
export function Hops({ words }: { words: string[] }) {
    const [found, setFound] = useState<Explained | null>(null);
    const [why, setWhy] = useState<Refusal | null>(null);
    const [times, setTimes] = useState(0);
    const asked = words.join("\n");
    useEffect(() => {
        let isOver = false;
        setFound(null);
        setWhy(null);
        explain(asked.split("\n")).then(
            found => isOver || setFound(found),
            caught => isOver || setWhy(refusal(caught)),
        );
        return () => { isOver = true };
    }, [asked, times]);
    if (why)
        return <Refused why={why} />;
    if (!found)
        return <Spinner aria-label={_("portero follows a packet")} />;
    const again = () => setTimes(times + 1);
    return (
        <>
            {found.fails
                ? (
                    <Alert variant="danger" isInline className="portero-space" title={format(_("$0 fails"), found.fails)}>
                        {found.mend && <Repair repair={found.mend} untilBoot={found.until_boot} onDone={again} />}
                    </Alert>
                )
                : <Alert variant="success" isInline className="portero-space" title={_("Every hop holds that can be seen from here.")} />}
            <Button variant="secondary" size="sm" className="portero-space" onClick={again}>{_("Explain again")}</Button>
            <Table
                label={_("Hops")}
                rows={found.hops}
                rowKey={(hop, index) => `${index} ${hop.hop}`}
                columns={[
                    { title: _("Hop"), cell: hop => hop.hop },
                    { title: _("State"), cell: hop => <State state={hop.state} /> },
                    { title: _("What portero sees"), cell: hop => hop.text },
                ]}
            />
        </>
    );
}

export function HopsDialog({ words, title, onClose }: { words: string[]; title: string; onClose(): void }) {
    return (
        <Modal isOpen variant="large" onClose={onClose} aria-labelledby="hops-title" aria-describedby="hops">
            <ModalHeader title={title} labelId="hops-title" />
            <ModalBody id="hops" tabIndex={0}><Hops words={words} /></ModalBody>
            <ModalFooter><Button variant="link" onClick={onClose}>{_("Close")}</Button></ModalFooter>
        </Modal>
    );
}
