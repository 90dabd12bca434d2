/** A dialog that shows commands before it runs them. */

import { Button } from "@patternfly/react-core/dist/esm/components/Button/index.js";
import { CodeBlock, CodeBlockCode } from "@patternfly/react-core/dist/esm/components/CodeBlock/index.js";
import { Modal, ModalBody, ModalFooter, ModalHeader } from "@patternfly/react-core/dist/esm/components/Modal/index.js";
import { useAttempt } from "./attempt.ts";
import { inWords } from "./portero.ts";
import { Refused } from "./refused.tsx";
import { mustAll } from "./run.ts";
import { _ } from "./words.ts";

export function Commands({ commands }: { commands: string[][] }) {
    return (
        <CodeBlock>
            <CodeBlockCode>{commands.map(inWords).join("\n")}</CodeBlockCode>
        </CodeBlock>
    );
}

export function Confirm({ title, text, commands, action, isDanger, onDone, onClose }: {
    title: string;
    text: string;
    commands: string[][];
    action: string;
    isDanger?: boolean;
    onDone(): void;
    onClose(): void;
}) {
    const { isBusy, why, attempt } = useAttempt();
    const run = () => attempt(async () => {
        await mustAll(commands);
        onDone();
        onClose();
    });
    return (
        <Modal isOpen variant="small" onClose={onClose} aria-labelledby="confirm-title" aria-describedby="confirm-text">
            <ModalHeader title={title} labelId="confirm-title" />
            <ModalBody id="confirm-text">
                <Refused why={why} />
                <p className="portero-space">{text}</p>
                <Commands commands={commands} />
            </ModalBody>
            <ModalFooter>
                <Button variant={isDanger ? "danger" : "primary"} isLoading={isBusy} isDisabled={isBusy} onClick={run}>{action}</Button>
                <Button variant="link" onClick={onClose}>{_("Cancel")}</Button>
            </ModalFooter>
        </Modal>
    );
}
