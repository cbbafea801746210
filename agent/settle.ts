import {setTimeout as delay} from 'node:timers/promises';
import {collectAll, lastReceivedAt} from './young.ts';

/** How long after the start, at first: the pause is not to hold up the first pulls. */
const SETTLE_MS = 500;
/** Nor those that follow them: what they have taught V8 goes with the rest. */
const QUIET_MS = 5_000;
/** Enough for most of what there is to win (docs/performance.md). */
const FIRST_PULLS = 12;
const PULLS = 20;

/** How long an agent that stops waits for what it does by itself. */
const PATIENCE_MS = 1_000;

export interface SettleParts {
  /** Pulls so many blobs of its own. */
  rehearse(pulls: number, stop: AbortSignal): Promise<unknown>;
  /** Gives back what of the program is in memory and was needed for the start only. */
  unmapProgram(): Promise<void>;
  /** Not done, and why: no harm but a late first byte, or memory. */
  failed(error: unknown): void;
}

/**
 * What an agent does by itself once its listeners are open, so that the first pull is served as the tenth, and what
 * starting took is given back: some 25 MB on every node (docs/performance.md). It collects when nothing arrives, and then
 * rehearses again, for the code of the first time has been collected, too.
 * @returns what ends it, and waits for the pull that is under way: not for long, for the disk may hang.
 */
export function settle(parts: SettleParts): () => Promise<void> {
  const stop = new AbortController();
  const settled = run(parts, stop.signal).catch((error: unknown) => {
    if (!stop.signal.aborted) parts.failed(error);
  });
  return async () => {
    stop.abort();
    await Promise.race([settled, delay(PATIENCE_MS, undefined, {ref: false})]);
  };
}

async function run(parts: SettleParts, stop: AbortSignal): Promise<void> {
  const rehearse = async (pulls: number): Promise<unknown> =>
    await parts.rehearse(pulls, stop).catch((error: unknown) => parts.failed(error));
  await rehearse(FIRST_PULLS);
  await quiet(stop);
  if (stop.aborted) return;
  collectAll();
  await rehearse(PULLS);
  if (!stop.aborted) await parts.unmapProgram();
}

/** Resolves after half a second at least, when nobody has pulled for a while; and when it is to stop. */
function quiet(stop: AbortSignal): Promise<void> {
  const ownUntil = performance.now(); // what came before was the rehearsal's
  return new Promise((resolve) => {
    const end = (): void => {
      clearInterval(timer);
      resolve();
    };
    const timer = setInterval(() => {
      if (lastReceivedAt() <= ownUntil || performance.now() - lastReceivedAt() >= QUIET_MS) end();
    }, SETTLE_MS).unref();
    if (stop.aborted) end();
    else stop.addEventListener('abort', end, {once: true});
  });
}
