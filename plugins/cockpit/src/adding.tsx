/** The dialog that adds a forward. */

import { Button } from "@patternfly/react-core/dist/esm/components/Button/index.js";
import { Checkbox } from "@patternfly/react-core/dist/esm/components/Checkbox/index.js";
import { Form, FormGroup } from "@patternfly/react-core/dist/esm/components/Form/index.js";
import { FormSelect, FormSelectOption } from "@patternfly/react-core/dist/esm/components/FormSelect/index.js";
import { HelperText, HelperTextItem } from "@patternfly/react-core/dist/esm/components/HelperText/index.js";
import { Modal, ModalBody, ModalFooter, ModalHeader } from "@patternfly/react-core/dist/esm/components/Modal/index.js";
import { TextInput } from "@patternfly/react-core/dist/esm/components/TextInput/index.js";
import { useEffect, useState, type FormEvent } from "react";
import { useAttempt } from "./attempt.ts";
import { Commands } from "./confirm.tsx";
import { addition, domains, type NewForward } from "./portero.ts";
import { Refused } from "./refused.tsx";
import { must } from "./run.ts";
import { _ } from "./words.ts";

function Field({ id, label, help, value, onChange, placeholder, isFirst }: {
    id: string;
    label: string;
    help?: string;
    value: string;
    onChange(value: string): void;
    placeholder?: string;
    isFirst?: boolean;
}) {
    return (
        <FormGroup label={label} fieldId={id}>
            <TextInput
                id={id}
                value={value}
                placeholder={placeholder}
                autoFocus={isFirst}
                autoComplete="off"
                spellCheck={false}
                aria-describedby={help && `${id}-help`}
                onChange={(_event, value) => onChange(value)}
            />
            {help && <HelperText><HelperTextItem id={`${id}-help`}>{help}</HelperTextItem></HelperText>}
        </FormGroup>
    );
}

/** `known` are guests that portero knows; libvirt may have more. */
export function Adding({ known, onDone, onClose }: { known: string[]; onDone(): void; onClose(): void }) {
    const [guests, setGuests] = useState(known);
    const [wanted, setWanted] = useState<NewForward>({
        guest: known[0] ?? "",
        ports: "",
        guestPorts: "",
        protocols: "tcp",
        address: "",
        sources: "",
        isPersistent: true,
        isReserved: false,
    });
    const { isBusy, why, attempt } = useAttempt();
    const change = (part: Partial<NewForward>) => setWanted(wanted => ({ ...wanted, ...part }));
    useEffect(() => {
        domains().then(more => {
            const all = [...new Set([...known, ...more])].sort();
            setGuests(all);
            setWanted(wanted => ({ ...wanted, guest: wanted.guest || (all[0] ?? "") }));
        });
    }, []);
    const isComplete = wanted.guest !== "" && wanted.ports.trim() !== "";
    const add = (event?: FormEvent) => {
        event?.preventDefault();
        if (!isComplete || isBusy)
            return;
        attempt(async () => {
            await must(addition(wanted));
            onDone();
            onClose();
        });
    };
    return (
        <Modal isOpen variant="medium" onClose={onClose} aria-labelledby="add-title" aria-describedby="add-form">
            <ModalHeader title={_("Add a forward")} labelId="add-title" />
            <ModalBody>
                <Refused why={why} />
                <Form id="add-form" onSubmit={add}>
                    <FormGroup label={_("Guest")} fieldId="guest">
                        <FormSelect id="guest" value={wanted.guest} onChange={(_event, guest) => change({ guest })}>
                            {guests.map(guest => <FormSelectOption key={guest} value={guest} label={guest} />)}
                        </FormSelect>
                    </FormGroup>
                    <div className="portero-fields">
                        <Field
                            id="ports"
                            label={_("Ports of the host")}
                            value={wanted.ports}
                            placeholder="8080, 8000-8010"
                            isFirst
                            onChange={ports => change({ ports })}
                        />
                        <Field
                            id="guest-ports"
                            label={_("Ports of the guest")}
                            value={wanted.guestPorts}
                            placeholder={_("the same")}
                            onChange={guestPorts => change({ guestPorts })}
                        />
                        <FormGroup label={_("Protocol")} fieldId="protocols">
                            <FormSelect id="protocols" value={wanted.protocols} onChange={(_event, protocols) => change({ protocols })}>
                                {["tcp", "udp", "tcp,udp", "sctp"].map(name => <FormSelectOption key={name} value={name} label={name} />)}
                            </FormSelect>
                        </FormGroup>
                    </div>
                    <div className="portero-fields">
                        <Field
                            id="address"
                            label={_("Address of the host")}
                            value={wanted.address}
                            placeholder={_("any")}
                            onChange={address => change({ address })}
                        />
                        <Field
                            id="sources"
                            label={_("Who may use it")}
                            value={wanted.sources}
                            placeholder={_("everybody")}
                            help={_("Addresses, networks, or group:NAME; ! before one makes an exception")}
                            onChange={sources => change({ sources })}
                        />
                    </div>
                    <Checkbox
                        id="persistent"
                        label={_("Persistent: also after the guest's next start")}
                        isChecked={wanted.isPersistent}
                        onChange={(_event, isPersistent) => change({ isPersistent })}
                    />
                    <Checkbox
                        id="reserved"
                        label={_("Reserve the guest's address, if DHCP has no reservation for it")}
                        isChecked={wanted.isReserved}
                        onChange={(_event, isReserved) => change({ isReserved })}
                    />
                    {isComplete && <Commands commands={[addition(wanted)]} />}
                    <input type="submit" hidden />
                </Form>
            </ModalBody>
            <ModalFooter>
                <Button isDisabled={!isComplete || isBusy} isLoading={isBusy} onClick={() => add()}>{_("Add")}</Button>
                <Button variant="link" onClick={onClose}>{_("Cancel")}</Button>
            </ModalFooter>
        </Modal>
    );
}
