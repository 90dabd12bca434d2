/** The map. */

import { Card, CardBody, CardTitle } from "@patternfly/react-core/dist/esm/components/Card/index.js";
import { Spinner } from "@patternfly/react-core/dist/esm/components/Spinner/index.js";
import { useAnswer } from "./asked.ts";
import { map, type Status } from "./portero.ts";
import { Refused } from "./refused.tsx";
import { _, format } from "./words.ts";

export function Drawing({ status }: { status: Status }) {
    const { value, why } = useAnswer(map, status, null);
    const { networks, guests, forwards } = status;
    const alt = format(_("Map of $0 networks, $1 running guests and $2 forwards"), networks.length, guests.length, forwards.length);
    return (
        <Card>
            <CardTitle component="h2">{_("Map")}</CardTitle>
            <CardBody>
                <Refused why={why} />
                {value
                    ? (
                        <div className="portero-map" tabIndex={0} role="region" aria-label={alt}>
                            <img alt={alt} src={`data:image/svg+xml,${encodeURIComponent(value)}`} />
                        </div>
                    )
                    : why === null && <Spinner aria-label={_("portero draws the map")} />}
            </CardBody>
        </Card>
    );
}
