import {lstatSync, readdirSync, rmSync} from 'node:fs';
import {join} from 'node:path';

export interface SideLimits {
  readonly maxFiles: number;
  readonly maxBytes: number;
  readonly maxAgeMs: number;
}

/**
 * Files beside the blobs that may go at any moment: parts that wait for a resume, or what is in quarantine. Bounded
 * in number, bytes and age, the oldest first; they count towards the limit of the store.
 */
export class SideFiles {
  readonly #folder: string;
  readonly #limits: SideLimits;
  /** Path → size and time, the oldest first. */
  readonly #files = new Map<string, {readonly sizeBytes: number; readonly at: number}>();
  #bytes = 0;

  /** Takes over what is in the folder. @throws {Error} of `node:fs`. */
  constructor(folder: string, limits: SideLimits) {
    this.#folder = folder;
    this.#limits = limits;
    const found = readdirSync(folder).map((name) => ({path: join(folder, name), stat: lstatSync(join(folder, name))}));
    found.sort((a, b) => a.stat.mtimeMs - b.stat.mtimeMs);
    for (const {path, stat} of found) this.add(path, stat.size, stat.mtimeMs);
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(path: string, sizeBytes: number, at: number): void {
    this.take(path);
    this.#files.set(path, {sizeBytes, at});
    this.#bytes += sizeBytes;
    while (this.#files.size > this.#limits.maxFiles || this.#bytes > this.#limits.maxBytes) this.dropOldest();
  }

  /** 0 for one that is not here. */
  sizeOf(path: string): number {
    return this.#files.get(path)?.sizeBytes ?? 0;
  }

  /** The file is somebody's again, or is gone. @returns its size. */
  take(path: string): number {
    const sizeBytes = this.sizeOf(path);
    this.#files.delete(path);
    this.#bytes -= sizeBytes;
    return sizeBytes;
  }

  /** @returns bytes freed, `undefined` if there is nothing. A file that cannot be removed is not counted again. */
  dropOldest(): number | undefined {
    const [path] = this.#files.keys();
    if (path === undefined) return undefined;
    const sizeBytes = this.take(path);
    try {
      rmSync(path, {force: true, recursive: true});
    } catch {
      return 0; // a read-only or broken disk: whoever needs the room will notice
    }
    return sizeBytes;
  }

  /** Drops what is too old; what lies in the future by the clock of today is as old as the folder's next look at it. */
  expire(now: number): void {
    for (const [path, {at}] of this.#files) {
      if (now - at < this.#limits.maxAgeMs) continue;
      this.take(path);
      rmSync(path, {force: true, recursive: true});
    }
  }

  toString(): string {
    return `${this.#files.size} files in ${this.#folder}`;
  }
}
