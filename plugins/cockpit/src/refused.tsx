/** portero's own line, where it refuses. */

import { Alert } from "@patternfly/react-core/dist/esm/components/Alert/index.js";
import type { Refusal } from "./run.ts";
import { _ } from "./words.ts";

export function Refused({ why }: { why: Refusal | null }) {
    if (why === null)
        return null;
    return <Alert variant="danger" isInline title={why.message.replace(/^error: /, "") || _("portero ended without a word")} />;
}
