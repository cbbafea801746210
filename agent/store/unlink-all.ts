import {rm} from 'node:fs/promises';

/** Unlinks at one time: each holds a thread of libuv's pool, which is for serving (design §2). */
const AT_ONCE = 4;

/** Removes files; one that is not there is no failure. @param onStuck told of each that stays. */
export async function unlinkAll(
  paths: readonly string[],
  onStuck: (path: string, error: unknown) => void,
): Promise<void> {
  const rest = paths.values();
  const work = async (): Promise<void> => {
    for (const path of rest) await rm(path, {force: true}).catch((error: unknown) => onStuck(path, error));
  };
  await Promise.all(Array.from({length: AT_ONCE}, work));
}
