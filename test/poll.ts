import {setTimeout as delay} from 'node:timers/promises';

/**
 * Asks until the answer is neither `undefined` nor `false`, every 20 ms. For what another process does in its own time;
 * nothing is concluded from how long it took.
 * @throws {Error} naming `what`, with the last failure as its cause, after `timeoutMs`.
 */
export async function poll<T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 20_000,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    let failure: unknown;
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      failure = error;
    }
    if (performance.now() > end) throw new Error(`${what}: not within ${timeoutMs} ms`, {cause: failure});
    await delay(20);
  }
}
