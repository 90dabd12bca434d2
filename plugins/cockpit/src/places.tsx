/** Networks and the guests on them. */

import { Alert } from "@patternfly/react-core/dist/esm/components/Alert/index.js";
import { Card, CardBody, CardTitle } from "@patternfly/react-core/dist/esm/components/Card/index.js";
import type { Guest, Network, Status } from "./portero.ts";
import { Table } from "./table.tsx";
import { _, format } from "./words.ts";

function policy({ policy }: Network): string {
    if (!policy)
        return "–";
    const text = format(_("in $0, out $1, host $2"), policy.in, policy.out, policy.host);
    return policy.in_firewall ? text : `${text}; ${_("missing")}`;
}

export function Networks({ status }: { status: Status }) {
    return (
        <Card>
            <CardTitle component="h2">{_("Networks")}</CardTitle>
            <CardBody>
                {status.networks.flatMap(network => network.problems).map(problem => (
                    <Alert key={problem} variant="warning" isInline className="portero-space" title={problem} />
                ))}
                {status.networks.length === 0 ? <p>{_("No network is active.")}</p> : (
                    <Table
                        label={_("Networks")}
                        rows={status.networks}
                        rowKey={one => one.uuid}
                        columns={[
                            { title: _("Network"), cell: one => one.name },
                            { title: _("Mode"), cell: one => one.mode },
                            { title: _("Bridge"), cell: one => one.bridge ?? "–" },
                            { title: _("Addresses of the host"), cell: one => one.addresses.join(", ") || "–" },
                            { title: _("Guests"), cell: one => one.guests, isNumber: true },
                            { title: _("Policy"), cell: policy },
                        ]}
                    />
                )}
            </CardBody>
        </Card>
    );
}

export function Guests({ status }: { status: Status }) {
    type Row = { guest: Guest; nic: Guest["interfaces"][0] | null };
    const rows = status.guests.flatMap((guest): Row[] =>
        guest.interfaces.length > 0 ? guest.interfaces.map(nic => ({ guest, nic })) : [{ guest, nic: null }]);
    return (
        <Card>
            <CardTitle component="h2">{_("Running guests")}</CardTitle>
            <CardBody>
                {rows.length === 0 ? <p>{_("No guest runs.")}</p> : (
                    <Table
                        label={_("Running guests")}
                        rows={rows}
                        rowKey={({ guest, nic }) => `${guest.uuid} ${nic?.mac}`}
                        columns={[
                            { title: _("Guest"), cell: ({ guest }) => guest.name ?? guest.uuid },
                            { title: _("Network"), cell: ({ nic }) => nic?.network ?? "–" },
                            { title: _("Addresses"), cell: ({ nic }) => nic?.addresses.join(", ") || "–" },
                            { title: _("MAC address"), cell: ({ nic }) => nic?.mac ?? "–" },
                            { title: _("Interface"), cell: ({ nic }) => nic?.target ?? "–" },
                        ]}
                    />
                )}
            </CardBody>
        </Card>
    );
}
