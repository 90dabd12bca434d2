/** What `portero doctor` finds, and what `portero explain` says of a port or a guest. */

import { Alert } from "@patternfly/react-core/dist/esm/components/Alert/index.js";
import { Button } from "@patternfly/react-core/dist/esm/components/Button/index.js";
import { Card, CardBody, CardHeader, CardTitle } from "@patternfly/react-core/dist/esm/components/Card/index.js";
import { Form, FormGroup } from "@patternfly/react-core/dist/esm/components/Form/index.js";
import { Spinner } from "@patternfly/react-core/dist/esm/components/Spinner/index.js";
import { TextInput } from "@patternfly/react-core/dist/esm/components/TextInput/index.js";
import { useState, type FormEvent } from "react";
import { useAnswer } from "./asked.ts";
import { Hops } from "./hops.tsx";
import { doctor } from "./portero.ts";
import { Refused } from "./refused.tsx";
import { Repair } from "./repairing.tsx";
import { _, format } from "./words.ts";

export function Doctor() {
    const { value, why, again } = useAnswer(doctor, null, null);
    return (
        <Card>
            <CardHeader actions={{ actions: <Button variant="secondary" onClick={again}>{_("Look again")}</Button> }}>
                <CardTitle component="h2">{_("What is wrong on this host")}</CardTitle>
            </CardHeader>
            <CardBody>
                <Refused why={why} />
                {!value && why === null && <Spinner aria-label={_("portero looks at this host")} />}
                {value?.findings.length === 0 && (
                    <Alert variant="success" isInline title={format(_("Nothing found by: $0"), value.checked.join(", "))} />
                )}
                {value?.findings.map((one, index) => (
                    <Alert key={`${index} ${one.finding}`} variant="warning" isInline className="portero-space" title={`${one.check}: ${one.finding}`}>
                        <Repair repair={one.mend} untilBoot={one.until_boot} onDone={again} />
                    </Alert>
                ))}
            </CardBody>
        </Card>
    );
}

export function Explaining() {
    const [typed, setTyped] = useState("");
    const [asked, setAsked] = useState<string[] | null>(null);
    const ask = (event: FormEvent) => {
        event.preventDefault();
        setAsked(typed.trim() === "" ? null : ["--", typed.trim()]);
    };
    return (
        <Card>
            <CardTitle component="h2">{_("Explain a port or a guest")}</CardTitle>
            <CardBody>
                <Form onSubmit={ask} className="portero-space">
                    <FormGroup label={_("Port of the host, or name of a guest")} fieldId="asked">
                        <div className="portero-actions">
                            <TextInput
                                id="asked"
                                value={typed}
                                placeholder="192.0.2.10:8080, 53/udp, web"
                                autoComplete="off"
                                spellCheck={false}
                                onChange={(_event, typed) => setTyped(typed)}
                            />
                            <Button type="submit" variant="secondary">{_("Explain")}</Button>
                        </div>
                    </FormGroup>
                </Form>
                {asked && <Hops words={asked} />}
            </CardBody>
        </Card>
    );
}
