import type {Child} from '../child.ts';
import type {Running, Site} from './contestant.ts';

const READY_SECONDS = 20;

/** Waits until a started server answers `/v2/`. @throws {Error} with the end of its log if it does not; it has then been stopped. */
export async function settle(
  site: Site,
  child: Child,
  at: Pick<Running, 'host' | 'port' | 'path'> & Partial<Pick<Running, 'headers' | 'adminUrl'>>,
): Promise<Running> {
  const {host, port} = at;
  const inside = site.network ?? [];
  try {
    await site.generator.wait({host, port, steps: [{path: '/v2/'}], inside, headers: at.headers ?? []}, READY_SECONDS);
  } catch (error) {
    const tail = child.tail();
    await child.stop();
    throw new Error(`does not answer: ${(error as Error).message}; it said: ${tail.slice(-600)}`, {cause: error});
  }
  const stop = async (): Promise<void> => child.stop();
  return {headers: [], ...at, pid: child.pid, stop, [Symbol.asyncDispose]: stop};
}
