import {closeSync, openSync, renameSync, rmSync} from 'node:fs';
import {DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync} from 'node:sqlite';

/** The index is derived: another version's is not converted but built anew from the files. */
const SCHEMA_VERSION = 1;

/** SQLite's result codes. @see https://www.sqlite.org/rescode.html */
const CORRUPT = 11;
const NOT_A_DATABASE = 26;

/**
 * `stamp` is the file's mtime and ctime in nanoseconds, as text: they do not fit into a double.
 * `used_at` in ms since the epoch: of the blob itself, and raised lazily to that of the manifests above it (index-rank.ts).
 * `children` may name what is not on disk. `hosted`: what is no cache (pins.ts); it neither counts nor is ranked.
 */
const SCHEMA = `
  CREATE TABLE IF NOT EXISTS blobs (
    digest TEXT PRIMARY KEY, kind TEXT NOT NULL, size INTEGER NOT NULL, media_type TEXT, stamp TEXT NOT NULL,
    used_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS blobs_used ON blobs (used_at, digest);
  CREATE TABLE IF NOT EXISTS children (
    parent TEXT NOT NULL, child TEXT NOT NULL, PRIMARY KEY (parent, child)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS children_child ON children (child, parent);
  CREATE TABLE IF NOT EXISTS links (
    digest TEXT NOT NULL, registry TEXT NOT NULL, repository TEXT NOT NULL, authority TEXT NOT NULL,
    kind TEXT NOT NULL, media_type TEXT, size INTEGER NOT NULL, proven_at INTEGER NOT NULL,
    PRIMARY KEY (digest, registry, repository, authority)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS links_repository ON links (registry, repository, kind);
  CREATE TABLE IF NOT EXISTS tags (
    registry TEXT NOT NULL, repository TEXT NOT NULL, tag TEXT NOT NULL, authority TEXT NOT NULL,
    digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL, resolved_at INTEGER NOT NULL,
    PRIMARY KEY (registry, repository, tag, authority)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS tags_digest ON tags (digest);
  CREATE TEMP TABLE protected (digest TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
  CREATE TEMP TABLE hosted (digest TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
`;

/** The open index and its prepared statements. Used by one thread; every call blocks it. */
export class IndexDatabase {
  readonly #database: DatabaseSync;
  /** SQL text → statement. The texts are constants of this program: bounded. */
  readonly #statements = new Map<string, StatementSync>();
  constructor(path: string) {
    this.#database = new DatabaseSync(path, {timeout: 0});
    try {
      // NORMAL in WAL mode: a dead process loses nothing, a dead machine the last seconds, and those are found again
      // by probing the files. EXCLUSIVE: no shared memory file; the folder's lock has been taken anyway.
      this.#database.exec(`
        PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
        PRAGMA journal_size_limit = 16777216; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;`);
      this.#claim();
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  run(text: string, ...values: SQLInputValue[]): number {
    return Number(this.#statement(text).run(...values).changes);
  }
  get(text: string, ...values: SQLInputValue[]): Readonly<Record<string, SQLOutputValue>> | undefined {
    return this.#statement(text).get(...values);
  }
  all(text: string, ...values: SQLInputValue[]): readonly Readonly<Record<string, SQLOutputValue>>[] {
    return this.#statement(text).all(...values);
  }

  /** All or nothing. Not to be nested. */
  transaction<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      this.#database.exec('COMMIT');
      return result;
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  close(): void {
    this.#statements.clear();
    this.#database.close();
  }

  #claim(): void {
    const version = this.get('PRAGMA user_version')?.['user_version'];
    if (version !== 0 && version !== SCHEMA_VERSION)
      throw Object.assign(new Error(`Index has schema version ${String(version)}`), {errcode: NOT_A_DATABASE});
    this.#database.exec(SCHEMA);
    // Only where it is new: a disk that is full must not keep the index from opening, or nothing could be evicted.
    if (version === 0) this.#database.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`);
  }

  #statement(text: string): StatementSync {
    let statement = this.#statements.get(text);
    if (statement === undefined) this.#statements.set(text, (statement = this.#database.prepare(text)));
    return statement;
  }
}

/** Opens the index; one that is corrupt or of another version is moved aside and a new one begun. */
export function openIndex(path: string): {readonly database: IndexDatabase; readonly lost: unknown} {
  try {
    closeSync(openSync(path, 'a', 0o600)); // D-031: SQLite would take the umask's word, and its WAL copies the mode
    return {database: new IndexDatabase(path), lost: undefined};
  } catch (error) {
    if (!isCorrupt(error)) throw error;
    moveAside(path);
    closeSync(openSync(path, 'a', 0o600));
    return {database: new IndexDatabase(path), lost: error};
  }
}

/** Whether the file is at fault, rather than the disk or the question. Extended codes have the code in the low byte. */
export function isCorrupt(error: unknown): boolean {
  const code = (error as {errcode?: unknown} | undefined)?.errcode;
  return typeof code === 'number' && [CORRUPT, NOT_A_DATABASE].includes(code & 0xff);
}

/** One is kept for who wants to look; its WAL belongs to it and must never be applied to a new file. */
export function moveAside(path: string): void {
  renameSync(path, `${path}.corrupt`);
  for (const suffix of ['-wal', '-shm', '-journal']) rmSync(`${path}${suffix}`, {force: true});
}
