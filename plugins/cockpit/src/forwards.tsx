/** All forwards with their state: to add, to remove and to explain. */

import { Alert } from "@patternfly/react-core/dist/esm/components/Alert/index.js";
import { Button } from "@patternfly/react-core/dist/esm/components/Button/index.js";
import { Card, CardBody, CardHeader, CardTitle } from "@patternfly/react-core/dist/esm/components/Card/index.js";
import { Label } from "@patternfly/react-core/dist/esm/components/Label/index.js";
import { useState } from "react";
import { Adding } from "./adding.tsx";
import { Confirm } from "./confirm.tsx";
import { HopsDialog } from "./hops.tsx";
import { counted, explained, removal, type Forward, type Listing, type Status, type Stopped } from "./portero.ts";
import { programs } from "./repair.ts";
import { Table } from "./table.tsx";
import { _, bytes, format } from "./words.ts";

function State({ forward }: { forward: Forward }) {
    const [status, text] = {
        active: ["success", _("active")],
        missing: ["danger", _("missing")],
        pending: ["warning", _("pending")],
        claimed: ["info", _("claimed")],
        off: [undefined, _("off")],
    }[forward.state] as ["success" | "danger" | "warning" | "info" | undefined, string];
    return (
        <>
            <Label status={status} isCompact>{text}</Label>
            {forward.reason && <small className="portero-reason">{forward.reason}</small>}
            {forward.in === "live" && <small className="portero-reason">{_("until the guest ends")}</small>}
        </>
    );
}

/** Which client and interface a forward is for. */
function clients(forward: Forward): string {
    const sources = [forward.source, ...forward.sources ?? []].filter(source => source);
    const whom = sources.length > 0 ? sources.join(", ") : _("everybody");
    return forward.dev ? format(_("$0 by $1"), whom, forward.dev) : whom;
}

/** What `portero explain` is asked in the command that explains more. */
const asked = (stopped: Stopped) => programs(stopped.explain)?.[0].slice(2) ?? [];

export function Forwards({ listing, status, onChange }: { listing: Listing; status: Status; onChange(): void }) {
    const [isAdding, setAdding] = useState(false);
    const [removed, setRemoved] = useState<Forward | null>(null);
    const [explaining, setExplaining] = useState<string[] | null>(null);
    const running = status.guests.filter(guest => guest.driver === "qemu").map(guest => guest.name);
    const off = listing.forwards.filter(forward => forward.owner === "domain" && forward.driver === "qemu").map(one => one.name);
    const known = [...new Set([...running, ...off])].filter(name => name !== null).sort();
    const spec = (forward: Forward) => forward.protocol ? forward.forward : format(_("all of $0"), forward.forward);
    return (
        <Card>
            <CardHeader actions={{ actions: <Button onClick={() => setAdding(true)}>{_("Add a forward")}</Button> }}>
                <CardTitle component="h2">{_("Forwards")}</CardTitle>
            </CardHeader>
            <CardBody>
                {listing.wrong.map(one => <Alert key={one.error} variant="danger" isInline className="portero-space" title={one.error} />)}
                {status.stopped.map(one => (
                    <Alert
                        key={`${one.name} ${one.what} ${one.by}`}
                        variant={one.certainty === "sure" ? "danger" : "warning"}
                        isInline
                        className="portero-space"
                        title={format(one.certainty === "sure" ? _("$0 of $1 is stopped") : _("$0 of $1 may be stopped"), one.what, one.name)}
                        actionLinks={<Button variant="link" isInline onClick={() => setExplaining(asked(one))}>{_("Explain")}</Button>}
                    >
                        {one.by}
                    </Alert>
                ))}
                {listing.forwards.length === 0 ? <p>{_("No ports are forwarded.")}</p> : (
                    <Table
                        label={_("Forwards")}
                        rows={listing.forwards}
                        rowKey={one => `${one.uuid} ${one.forward} ${one.source} ${one.sources} ${one.dev} ${one.in} ${one.written}`}
                        columns={[
                            { title: _("Guest"), cell: one => one.owner === "network" ? format(_("network $0"), one.name) : one.name },
                            { title: _("Forward"), cell: one => <code>{spec(one)}</code> },
                            { title: _("Leads to"), cell: one => one.addresses.join(", ") || "–" },
                            { title: _("Clients"), cell: clients },
                            { title: _("State"), cell: one => <State forward={one} /> },
                            { title: _("Traffic"), cell: one => bytes(counted(one, status).bytes), isNumber: true },
                            {
                                title: _("Actions"),
                                cell: one => (
                                    <div className="portero-actions portero-table-actions">
                                        {explained(one) && (
                                            <Button
                                                variant="secondary"
                                                size="sm"
                                                aria-label={format(_("Explain $0 of $1"), one.forward, one.name)}
                                                onClick={() => setExplaining(explained(one))}
                                            >
                                                {_("Explain")}
                                            </Button>
                                        )}
                                        {removal(one)
                                            ? (
                                                <Button
                                                    variant="secondary"
                                                    isDanger
                                                    size="sm"
                                                    aria-label={format(_("Remove $0 of $1"), one.forward, one.name)}
                                                    onClick={() => setRemoved(one)}
                                                >
                                                    {_("Remove")}
                                                </Button>
                                            )
                                            : (
                                                <small>
                                                    {one.written === "metadata"
                                                        ? _("in its metadata")
                                                        : format(_("in $0"), one.written)}
                                                </small>
                                            )}
                                    </div>
                                ),
                            },
                        ]}
                    />
                )}
            </CardBody>
            {isAdding && <Adding known={known} onDone={onChange} onClose={() => setAdding(false)} />}
            {explaining && (
                <HopsDialog words={explaining} title={format(_("Explain $0"), explaining.join(" "))} onClose={() => setExplaining(null)} />
            )}
            {removed && (
                <Confirm
                    title={_("Remove a forward")}
                    text={format(_("$0 no longer leads to $1."), removed.forward, removed.name)}
                    commands={[removal(removed) ?? []]}
                    action={_("Remove")}
                    isDanger
                    onDone={onChange}
                    onClose={() => setRemoved(null)}
                />
            )}
        </Card>
    );
}
