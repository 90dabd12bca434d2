/** What networks allow and reject, with counters. */

import { Alert } from "@patternfly/react-core/dist/esm/components/Alert/index.js";
import { Card, CardBody, CardTitle } from "@patternfly/react-core/dist/esm/components/Card/index.js";
import { Spinner } from "@patternfly/react-core/dist/esm/components/Spinner/index.js";
import { useAnswer } from "./asked.ts";
import { policies, type Policy } from "./portero.ts";
import { Refused } from "./refused.tsx";
import { Table } from "./table.tsx";
import { _, bytes, format } from "./words.ts";

function One({ policy }: { policy: Policy }) {
    return (
        <Card>
            <CardTitle component="h2">{format(_("Policy of network $0"), policy.network)}</CardTitle>
            <CardBody>
                {policy.origin && <p className="portero-space"><small>{format(_("$0, line $1"), policy.origin, policy.line ?? "–")}</small></p>}
                {policy.warnings.map(one => <Alert key={one} variant="warning" isInline className="portero-space" title={one} />)}
                <Table
                    label={format(_("Policy of network $0"), policy.network)}
                    rows={policy.clauses}
                    rowKey={one => one.clause}
                    columns={[
                        { title: _("Clause"), cell: one => one.clause },
                        { title: _("Match"), cell: one => one.comment ? `${one.match} # ${one.comment}` : one.match },
                        { title: _("Verdict"), cell: one => one.verdict },
                        { title: _("Packets"), cell: one => one.packets ?? "–", isNumber: true },
                        { title: _("Bytes"), cell: one => bytes(one.bytes), isNumber: true },
                    ]}
                />
                {[...policy.nat, ...policy.neighbors].map(one => <p key={one}><small>{one}</small></p>)}
            </CardBody>
        </Card>
    );
}

/** How often counters are read, in seconds. */
const INTERVAL = 5;

export function Policies({ change }: { change: unknown }) {
    const { value, why } = useAnswer(policies, change, INTERVAL);
    if (!value && why === null)
        return <Spinner aria-label={_("portero reads counters")} />;
    return (
        <>
            <Refused why={why} />
            {value?.length === 0 && (
                <Card>
                    <CardTitle component="h2">{_("Policies")}</CardTitle>
                    <CardBody>{_("No active network has a policy.")}</CardBody>
                </Card>
            )}
            {value?.map(policy => <One key={policy.network} policy={policy} />)}
        </>
    );
}
