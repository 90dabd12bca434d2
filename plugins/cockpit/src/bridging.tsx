/** Bridges of the host: planned, made, and kept while a countdown runs. */

import { Alert } from "@patternfly/react-core/dist/esm/components/Alert/index.js";
import { Button } from "@patternfly/react-core/dist/esm/components/Button/index.js";
import { Card, CardBody, CardTitle } from "@patternfly/react-core/dist/esm/components/Card/index.js";
import { CodeBlock, CodeBlockCode } from "@patternfly/react-core/dist/esm/components/CodeBlock/index.js";
import { Form, FormGroup } from "@patternfly/react-core/dist/esm/components/Form/index.js";
import { FormSelect, FormSelectOption } from "@patternfly/react-core/dist/esm/components/FormSelect/index.js";
import { Spinner } from "@patternfly/react-core/dist/esm/components/Spinner/index.js";
import { TextInput } from "@patternfly/react-core/dist/esm/components/TextInput/index.js";
import { useState, type FormEvent } from "react";
import { useAnswer } from "./asked.ts";
import { useAttempt } from "./attempt.ts";
import { Commands, Confirm } from "./confirm.tsx";
import { bridges, nics, type Bridge } from "./portero.ts";
import { Refused } from "./refused.tsx";
import { must, mustAll } from "./run.ts";
import { Table } from "./table.tsx";
import { _, format } from "./words.ts";

/** Exit statuses of `portero bridge plan`: nothing to change, something to change. */
const PLANNED = [0, 3];

const verb = (verb: string, bridge: string) => ["portero", "bridge", verb, `--bridge=${bridge}`];

function Made({ bridge, onChange }: { bridge: Bridge; onChange(): void }) {
    const { isBusy, why, attempt } = useAttempt();
    const run = async (words: string[]) => {
        await attempt(() => mustAll([words]));
        onChange();
    };
    if (bridge.state !== "waiting" && bridge.state !== "half done")
        return <Refused why={why} />;
    const title = bridge.state === "half done"
        ? format(_("$0 is half done"), bridge.bridge)
        : format(_("$0 is rolled back in $1 s, unless you keep it"), bridge.bridge, bridge.seconds_left ?? 0);
    return (
        <>
            <Alert
                variant="warning"
                isInline
                className="portero-space"
                title={title}
                actionLinks={(
                    <>
                        {bridge.state === "waiting" && (
                            <Button isDisabled={isBusy} onClick={() => run(verb("confirm", bridge.bridge))}>{_("Keep the bridge")}</Button>
                        )}
                        <Button variant="secondary" isDisabled={isBusy} onClick={() => run(verb("rollback", bridge.bridge))}>
                            {_("Roll back")}
                        </Button>
                    </>
                )}
            >
                {_("Check that you still reach what you need. If this page no longer answers, do nothing.")}
            </Alert>
            <Refused why={why} />
        </>
    );
}

function Making({ nics, onChange }: { nics: string[]; onChange(): void }) {
    const [name, setName] = useState("br0");
    const [chosen, setChosen] = useState("");
    const [timeout, setTimeout] = useState("120");
    const [plan, setPlan] = useState<{ words: string[]; diff: string; notes: string } | null>(null);
    const { isBusy, why, attempt } = useAttempt();
    const nic = chosen || (nics[0] ?? "");
    const changed = (set: (value: string) => void) => (value: string) => {
        set(value);
        setPlan(null);
    };
    const show = (event: FormEvent) => {
        event.preventDefault();
        attempt(async () => {
            const words = [`--bridge=${name.trim()}`, `--nic=${nic}`];
            const { stdout, stderr } = await must(["portero", "bridge", "plan", ...words], PLANNED);
            setPlan({ words: ["portero", "bridge", "apply", ...words, `--timeout=${timeout}`], diff: stdout, notes: stderr.trim() });
        });
    };
    const apply = (words: string[]) => attempt(async () => {
        // Its state is asked for meanwhile.
        await must(words).finally(onChange);
        setPlan(null);
    });
    return (
        <Card>
            <CardTitle component="h2">{_("Put a NIC into a bridge")}</CardTitle>
            <CardBody>
                <Form onSubmit={show} className="portero-space">
                    <div className="portero-fields">
                        <FormGroup label={_("NIC")} fieldId="nic">
                            <FormSelect id="nic" value={nic} onChange={(_event, value) => changed(setChosen)(value)}>
                                {nics.map(nic => <FormSelectOption key={nic} value={nic} label={nic} />)}
                            </FormSelect>
                        </FormGroup>
                        <FormGroup label={_("Name of the bridge")} fieldId="bridge">
                            <TextInput id="bridge" value={name} autoComplete="off" onChange={(_event, value) => changed(setName)(value)} />
                        </FormGroup>
                        <FormGroup label={_("Seconds to keep it in")} fieldId="timeout">
                            <TextInput id="timeout" type="number" min={10} max={3600} value={timeout} onChange={(_event, value) => changed(setTimeout)(value)} />
                        </FormGroup>
                    </div>
                    <div><Button type="submit" variant="secondary" isDisabled={isBusy || nic === ""}>{_("Show what would change")}</Button></div>
                </Form>
                <Refused why={why} />
                {plan && (
                    <>
                        {plan.notes !== "" && <Alert variant="warning" isInline className="portero-space" title={plan.notes} />}
                        <CodeBlock className="portero-space">
                            <CodeBlockCode id="diff">{plan.diff || _("Nothing would change.")}</CodeBlockCode>
                        </CodeBlock>
                        {plan.diff !== "" && (
                            <>
                                <Commands commands={[plan.words]} />
                                <Button className="portero-below" isDisabled={isBusy} isLoading={isBusy} onClick={() => apply(plan.words)}>
                                    {_("Make the bridge")}
                                </Button>
                            </>
                        )}
                    </>
                )}
            </CardBody>
        </Card>
    );
}

/** How often the countdown is read, in seconds. */
const INTERVAL = 1;

export function Bridging({ change }: { change: unknown }) {
    const [removed, setRemoved] = useState<string | null>(null);
    const made = useAnswer(bridges, null, INTERVAL);
    const known = useAnswer(nics, change, null);
    if (!made.value)
        return made.why ? <Refused why={made.why} /> : <Spinner aria-label={_("portero looks at bridges")} />;
    return (
        <>
            <Refused why={made.why} />
            {made.value.map(bridge => <Made key={bridge.bridge} bridge={bridge} onChange={made.again} />)}
            <Card>
                <CardTitle component="h2">{_("Bridges that portero made")}</CardTitle>
                <CardBody>
                    {made.value.length === 0 ? <p>{_("There is none.")}</p> : (
                        <Table
                            label={_("Bridges that portero made")}
                            rows={made.value}
                            rowKey={one => one.bridge}
                            columns={[
                                { title: _("Bridge"), cell: one => one.bridge },
                                { title: _("NICs"), cell: one => one.nics.join(", ") },
                                { title: _("Addresses"), cell: one => one.addresses.join(", ") || "–" },
                                {
                                    title: _("State"),
                                    cell: one => ({
                                        confirmed: _("kept"),
                                        waiting: _("not kept yet"),
                                        changing: _("changing"),
                                        "half done": _("half done"),
                                    }[one.state]),
                                },
                                {
                                    title: _("Actions"),
                                    cell: one => one.state === "confirmed" && (
                                        <Button
                                            variant="secondary"
                                            isDanger
                                            size="sm"
                                            aria-label={format(_("Remove $0"), one.bridge)}
                                            onClick={() => setRemoved(one.bridge)}
                                        >
                                            {_("Remove")}
                                        </Button>
                                    ),
                                },
                            ]}
                        />
                    )}
                </CardBody>
            </Card>
            <Refused why={known.why} />
            <Making nics={known.value ?? []} onChange={made.again} />
            {removed && (
                <Confirm
                    title={_("Remove a bridge")}
                    text={_("The files in /etc become what they were before the bridge.")}
                    commands={[verb("remove", removed)]}
                    action={_("Remove")}
                    isDanger
                    onDone={made.again}
                    onClose={() => setRemoved(null)}
                />
            )}
        </>
    );
}
