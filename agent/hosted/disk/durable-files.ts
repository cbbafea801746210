import {randomBytes} from 'node:crypto';
import {mkdir, open, readdir, readFile, rename, unlink, utimes} from 'node:fs/promises';
import {dirname, join} from 'node:path';
import {Semaphore} from '../../../oci/semaphore.ts';
import {fault} from '../../../proc/fault.ts';
import {syncFolder} from '../../store/durable.ts';

/** Writes at one time: each holds a thread of the pool while the disk syncs, and that is for serving (design §2). */
const AT_ONCE = 6;

/** Small files that are there or not after a crash, never in between. */
export class DurableFiles {
  /** Same file system as where they go. */
  readonly #temporary: string;
  readonly #turn = new Semaphore(AT_ONCE);
  readonly #syncs = new FolderSyncs();
  constructor(temporary: string) {
    this.#temporary = temporary;
  }

  /** Replaces or makes a file. @param point name of the fault points around it. */
  async write(path: string, content: string | Uint8Array, point: string): Promise<void> {
    const temporary = join(this.#temporary, randomBytes(12).toString('hex'));
    await this.#turn.run(async () => {
      try {
        const file = await open(temporary, 'wx', 0o600);
        try {
          await file.writeFile(content);
          await file.sync();
        } finally {
          await file.close();
        }
        fault(`${point}.written`);
        await inFolder(dirname(path), () => rename(temporary, path));
      } catch (error) {
        await unlink(temporary).catch(() => undefined); // gone, or found by the next start
        throw error;
      }
    });
    fault(`${point}.renamed`);
    await this.#sync(dirname(path));
  }

  /** Makes an empty file, or sets its time if it is there. */
  async mark(path: string, point: string): Promise<void> {
    await this.#turn.run(async () => {
      const file = await inFolder(dirname(path), () => open(path, 'a', 0o600));
      try {
        const now = new Date();
        await file.utimes(now, now);
      } finally {
        await file.close();
      }
    });
    fault(`${point}.marked`);
    await this.#sync(dirname(path));
  }

  /** @param point `undefined`: it may come back if the machine dies. @returns whether it was there. */
  async remove(path: string, point: string | undefined): Promise<boolean> {
    if (!(await unlinkIfThere(path))) return false;
    if (point === undefined) return true;
    fault(`${point}.removed`);
    await this.#sync(dirname(path));
    return true;
  }

  /** Where tidying has removed the folder meanwhile, the one above it says so. */
  async #sync(folder: string): Promise<void> {
    try {
      await this.#syncs.sync(folder, (path) => this.#turn.run(() => syncFolder(path)));
    } catch (error) {
      if (!isAbsent(error) || dirname(folder) === folder) throw error;
      await this.#sync(dirname(folder));
    }
  }
}

/** Syncs of one folder that are asked for while one is under way are one: those of a hundred pushes take two. */
class FolderSyncs {
  /** Folder → the sync under way, and the one after it. */
  readonly #running = new Map<string, {readonly now: Promise<void>; next: Promise<void> | undefined}>();

  async sync(folder: string, work: (folder: string) => Promise<void>): Promise<void> {
    const running = this.#running.get(folder);
    if (running !== undefined) {
      // The one under way may have begun before our change.
      running.next ??= running.now.catch(() => undefined).then(() => this.sync(folder, work));
      return await running.next;
    }
    const now = work(folder);
    this.#running.set(folder, {now, next: undefined});
    try {
      await now;
    } finally {
      this.#running.delete(folder);
    }
  }
}

/** Does something in a folder, which is made if need be: tidying removes those that are empty. */
async function inFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!isAbsent(error) || attempt === 3) throw error;
      await makeFolder(folder);
    }
  }
}

/** Durably, also the folders above it that are new. */
async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, {recursive: true, mode: 0o700});
  if (first === undefined) return;
  for (let path = folder; path.length >= first.length; path = dirname(path))
    await syncFolder(dirname(path)).catch(ignoreAbsent);
}

export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    ignoreAbsent(error);
    return undefined;
  }
}

export async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    ignoreAbsent(error);
    return [];
  }
}

/** Sets a file's time; not durable. @returns whether it is there. */
export async function setTime(path: string, ms: number): Promise<boolean> {
  try {
    await utimes(path, ms / 1000, ms / 1000);
    return true;
  } catch (error) {
    ignoreAbsent(error);
    return false;
  }
}

async function unlinkIfThere(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    ignoreAbsent(error);
    return false;
  }
}

function ignoreAbsent(error: unknown): void {
  if (!isAbsent(error)) throw error;
}

function isAbsent(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '');
}
