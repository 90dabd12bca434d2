/** Something that a button starts, and that the host may refuse. */

import { useState } from "react";
import { refusal, type Refusal } from "./run.ts";

export interface Attempt {
    /** Whether it goes on. */
    isBusy: boolean;
    why: Refusal | null;
    attempt(work: () => Promise<void>): Promise<void>;
}

export function useAttempt(): Attempt {
    const [isBusy, setBusy] = useState(false);
    const [why, setWhy] = useState<Refusal | null>(null);
    const attempt = async (work: () => Promise<void>) => {
        setBusy(true);
        setWhy(null);
        await work().catch(caught => setWhy(refusal(caught)));
        setBusy(false);
    };
    return { isBusy, why, attempt };
}
