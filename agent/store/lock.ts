import {closeSync, openSync, rmSync} from 'node:fs';
import {DatabaseSync} from 'node:sqlite';
import {DataFolderError, type Folder} from './folder.ts';

/** SQLite's result codes. @see https://www.sqlite.org/rescode.html */
const BUSY = 5;
const NOT_A_DATABASE = 26;

/** The folder is ours as long as this is not released. */
export interface FolderLock {
  release(): void;
}

/**
 * Takes the folder for this process. SQLite's exclusive lock on an empty database: the kernel drops it when the
 * process dies however it dies, and SQLite refuses a second holder in the same process as well, which bare
 * POSIX locks would not.
 * @throws {DataFolderError} if another agent has it.
 */
export function lockFolder(folder: Folder): FolderLock {
  try {
    return takeLock(folder.lock);
  } catch (error) {
    const code = (error as {errcode?: number}).errcode;
    if (code === BUSY)
      throw new DataFolderError(`${folder.root} is in use by another noost agent: give each its own --data`, {
        cause: error,
      });
    if (code !== NOT_A_DATABASE) throw error;
    // Its content is nobody's; a holder would have made us BUSY before the content was looked at.
    rmSync(folder.lock);
    return takeLock(folder.lock);
  }
}

function takeLock(path: string): FolderLock {
  closeSync(openSync(path, 'a', 0o600)); // D-031
  const database = new DatabaseSync(path);
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    throw error;
  }
  return {release: () => database.close()};
}
