/** The page: its tabs, and what all of them show of the host's state. */

import { Alert } from "@patternfly/react-core/dist/esm/components/Alert/index.js";
import { EmptyState, EmptyStateBody } from "@patternfly/react-core/dist/esm/components/EmptyState/index.js";
import { Page, PageSection } from "@patternfly/react-core/dist/esm/components/Page/index.js";
import { Spinner } from "@patternfly/react-core/dist/esm/components/Spinner/index.js";
import { Tab, Tabs, TabTitleText } from "@patternfly/react-core/dist/esm/components/Tabs/index.js";
import { useEffect, useState } from "react";
import { useAnswer } from "./asked.ts";
import { Bridging } from "./bridging.tsx";
import { Doctor, Explaining } from "./diagnosis.tsx";
import { Drawing } from "./drawing.tsx";
import { Forwards } from "./forwards.tsx";
import { Guests, Networks } from "./places.tsx";
import { Policies } from "./policies.tsx";
import { followStatus, listForwards, type Status } from "./portero.ts";
import { Refused } from "./refused.tsx";
import { Refusal } from "./run.ts";
import { _ } from "./words.ts";

/** How long after it ended `portero status --watch` is started again, in milliseconds. */
const AGAIN = 5000;

/** How often forwards of what does not run are read, in seconds: the status does not have them. */
const INTERVAL = 10;

/** The status as it changes, while somebody sees the page. */
function useStatus(): { status: Status | null; why: Refusal | null } {
    const [status, setStatus] = useState<Status | null>(null);
    const [why, setWhy] = useState<Refusal | null>(null);
    useEffect(() => {
        let following: { close(): void } | null = null;
        let timer: number | undefined;
        const start = () => {
            following = followStatus(
                status => {
                    setStatus(status);
                    setWhy(null);
                },
                why => {
                    following = null;
                    setWhy(why);
                    timer = window.setTimeout(start, AGAIN);
                },
            );
        };
        const stop = () => {
            window.clearTimeout(timer);
            following?.close();
            following = null;
        };
        const turn = () => {
            stop();
            if (!cockpit.hidden)
                start();
        };
        turn();
        cockpit.addEventListener("visibilitychange", turn);
        return () => {
            cockpit.removeEventListener("visibilitychange", turn);
            stop();
        };
    }, []);
    return { status, why };
}

/** The tab that the address names, `#/map`. */
function useTab(): [string, (tab: string) => void] {
    const [tab, setTab] = useState(cockpit.location.path[0] ?? "forwards");
    useEffect(() => {
        const moved = () => setTab(cockpit.location.path[0] ?? "forwards");
        cockpit.addEventListener("locationchanged", moved);
        return () => cockpit.removeEventListener("locationchanged", moved);
    }, []);
    return [tab, tab => cockpit.location.go(tab === "forwards" ? [] : [tab])];
}

function Nothing({ why }: { why: Refusal | null }) {
    if (why?.problem === "access-denied")
        return (
            <EmptyState titleText={_("portero needs administrative access")} headingLevel="h1" status="warning">
                <EmptyStateBody>{_("Turn it on at the top of Cockpit's window.")}</EmptyStateBody>
            </EmptyState>
        );
    if (why?.problem === "not-found")
        return (
            <EmptyState titleText={_("portero is not installed")} headingLevel="h1" status="danger">
                <EmptyStateBody>{_("Install the package portero.")}</EmptyStateBody>
            </EmptyState>
        );
    return why ? <Refused why={why} /> : <Spinner aria-label={_("portero looks at this host")} />;
}

export function App() {
    const { status, why } = useStatus();
    const [tab, setTab] = useTab();
    const listing = useAnswer(listForwards, status, INTERVAL);
    if (!status || !listing.value)
        return <Page className="pf-m-no-sidebar"><PageSection><Nothing why={why ?? listing.why} /></PageSection></Page>;
    const tabs: [string, string, () => React.ReactNode][] = [
        ["forwards", _("Forwards"), () => (
            <>
                <Forwards listing={listing.value!} status={status} onChange={listing.again} />
                <Guests status={status} />
                <Networks status={status} />
            </>
        )],
        ["map", _("Map"), () => <Drawing status={status} />],
        ["policies", _("Policies"), () => <Policies change={status} />],
        ["bridges", _("Bridges"), () => <Bridging change={status} />],
        ["diagnosis", _("Diagnosis"), () => <><Doctor /><Explaining /></>],
    ];
    const content = tabs.find(([name]) => name === tab) ?? tabs[0];
    return (
        <Page className="pf-m-no-sidebar">
            <PageSection type="tabs" hasBodyWrapper={false}>
                <Tabs activeKey={content[0]} onSelect={(_event, key) => setTab(String(key))} aria-label="portero">
                    {tabs.map(([name, title]) => (
                        <Tab key={name} eventKey={name} tabContentId="content" title={<TabTitleText>{title}</TabTitleText>} />
                    ))}
                </Tabs>
            </PageSection>
            <PageSection hasBodyWrapper={false} className="portero-cards" id="content" role="tabpanel" aria-label={content[1]}>
                {why && <Refused why={why} />}
                {listing.why && <Refused why={listing.why} />}
                {status.unread_rules.map(one => <Alert key={one} variant="warning" isInline title={one} />)}
                {content[2]()}
            </PageSection>
        </Page>
    );
}
