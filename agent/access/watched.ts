import {stat} from 'node:fs/promises';

/** Kubernetes swaps a mounted Secret by a symlink, which watching misses on some file systems: looking does not. */
const LOOK_MS = 1_000;

export interface WatchedFiles extends AsyncDisposable {
  /** Reads them now, changed or not. Never rejects. */
  look(): Promise<void>;
}

/**
 * Reads files again within seconds of their change. What cannot be used leaves the last good content in place and is told
 * once; it is tried again until it is good, for a certificate and its key are not written at the same instant.
 * @param use puts the new content in place. @throws {Error} if it is not good.
 * @param failed is told each new reason; `recovered` when a content was good after that.
 */
export function watchFiles(
  files: readonly string[],
  use: () => Promise<void>,
  on: {failed(error: Error): void; changed(): void},
): WatchedFiles {
  let known = '';
  let said: string | undefined;
  let looking: Promise<void> | undefined;
  const look = async (force: boolean): Promise<void> => {
    const now = await marksOf(files);
    if (!force && now === known && said === undefined) return;
    try {
      await use();
      const changed = said !== undefined || (known !== '' && now !== known);
      known = now;
      said = undefined;
      if (changed) on.changed();
    } catch (error) {
      const {message} = error as Error;
      if (message !== said) on.failed(error as Error);
      said = message;
    }
  };
  const once = (force: boolean): Promise<void> =>
    (looking ??= look(force).finally(() => {
      looking = undefined;
    }));
  const timer = setInterval(() => void once(false), LOOK_MS).unref();
  return {
    look: async () => {
      await looking;
      await once(true);
    },
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      await looking;
    },
  };
}

/** What differs when a file was written, replaced or swapped. */
async function marksOf(files: readonly string[]): Promise<string> {
  const marks = files.map(async (file) => {
    try {
      const {ino, size, mtimeMs, ctimeMs} = await stat(file);
      return `${String(ino)} ${String(size)} ${String(mtimeMs)} ${String(ctimeMs)}`;
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? 'unknown';
    }
  });
  return (await Promise.all(marks)).join('\n');
}
