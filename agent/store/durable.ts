import {mkdir, open, rename} from 'node:fs/promises';
import {dirname} from 'node:path';

/** Renames, making the folder it goes into if need be. The caller syncs that folder. @throws {Error} of `node:fs`. */
export async function moveInto(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    await mkdir(dirname(to), {recursive: true, mode: 0o700});
    await syncFolder(dirname(dirname(to)));
    await rename(from, to);
  }
}

/** Makes names in a folder durable. @throws {Error} of `node:fs`. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
