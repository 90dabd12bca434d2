/** What a command answers, asked again when something has changed, every few seconds if that is wanted. */

import { useCallback, useEffect, useState } from "react";
import { refusal, type Refusal } from "./run.ts";

export interface Answer<T> {
    value: T | null;
    why: Refusal | null;
    again(): void;
}

/** Asks when `change` is another value, when `again` is called, and every `seconds` while somebody sees the page. */
export function useAnswer<T>(ask: () => Promise<T>, change: unknown, seconds: number | null): Answer<T> {
    const [value, setValue] = useState<T | null>(null);
    const [why, setWhy] = useState<Refusal | null>(null);
    const [times, setTimes] = useState(0);
    const again = useCallback(() => setTimes(times => times + 1), []);
    useEffect(() => {
        let isOver = false;
        let timer: number | undefined;
        const wait = () => {
            if (seconds !== null && !isOver)
                timer = window.setTimeout(() => cockpit.hidden ? wait() : again(), seconds * 1000);
        };
        ask().then(
            value => {
                if (!isOver) {
                    setValue(value);
                    setWhy(null);
                }
            },
            caught => {
                if (!isOver)
                    setWhy(refusal(caught));
            },
        ).then(wait);
        return () => {
            isOver = true;
            window.clearTimeout(timer);
        };
    }, [change, times, seconds]);
    return { value, why, again };
}
