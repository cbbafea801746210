import {type BigIntStats, lstatSync, renameSync} from 'node:fs';
import {type Digest, splitDigest} from '../../oci/digest.ts';
import {fault} from '../../proc/fault.ts';
import {MAX_MANIFEST_BYTES, natureOf} from './children.ts';
import type {Link} from './contract.ts';
import {DiskBlob, openFile, stampOf, statFile} from './disk-blob.ts';
import type {DiskIngest} from './disk-ingest.ts';
import type {EvictionReason, StoreOperation} from './events.ts';
import type {BlobRow} from './index-blobs.ts';
import {Orphans} from './orphans.ts';
import {readFully} from './read-fully.ts';
import type {SharedFd} from './shared-fd.ts';
import type {ShelfParts} from './shelf-parts.ts';
import type {Sums} from './sums.ts';
import {unlinkAll} from './unlink-all.ts';

/** The whole blobs: finds, checks, adopts, quarantines and drops them. File and index row go together here. */
export class Shelf {
  /** Ingests under way. */
  readonly ingests = new Map<Digest, DiskIngest>();
  readonly orphans: Orphans;
  readonly #parts: ShelfParts;
  /** Digests whose row is dropped and whose file is being unlinked: absent, and not to be probed. */
  readonly #leaving = new Map<Digest, Promise<void>>();
  /** One check, and one adoption, for all who want it at one time. */
  readonly #checks = new Map<Digest, Promise<Sums | undefined>>();
  readonly #adoptions = new Map<Digest, Promise<BlobRow | undefined>>();
  constructor(parts: ShelfParts) {
    this.#parts = parts;
    this.orphans = new Orphans(parts.used, (digest) => parts.pins.has(digest));
  }

  /** The blob's row; `undefined` if it is absent. A file without row is hashed and adopted first (design §1.1). */
  async find(digest: Digest): Promise<BlobRow | undefined> {
    const known = this.#parts.memory.row(digest);
    if (known !== undefined) return known;
    if (this.#leaving.has(digest)) return undefined;
    const row = await this.#ask(digest);
    if (row !== undefined || this.#leaving.has(digest)) return row;
    const ingest = this.ingests.get(digest);
    if (ingest === undefined) return await this.adopt(digest);
    if (!ingest.isCommitting) return undefined;
    await ingest.settled;
    return this.#parts.memory.row(digest);
  }

  /** Opens a blob, re-hashing it first if its file is not as the index has it. */
  async open(digest: Digest): Promise<DiskBlob | undefined> {
    const row = await this.find(digest);
    if (row === undefined) return undefined;
    const file = this.tryOpen(digest);
    if (file === undefined) {
      await this.#lostFile(digest);
      return undefined;
    }
    const stat = statFile(file);
    const [sizeBytes, stamp] = [Number(stat.size), stampOf(stat)];
    if (sizeBytes === row.sizeBytes && stamp === row.stamp) return new DiskBlob(row, file);
    if ((await this.check(digest, file)) !== undefined) return new DiskBlob({...row, sizeBytes, stamp}, file);
    file.release();
    return undefined;
  }

  /** `undefined` where it is not there or cannot be read; the latter is told. */
  tryOpen(digest: Digest): SharedFd | undefined {
    try {
      return openFile(this.#parts.folder.blob(digest));
    } catch (error) {
      this.failed('open', error);
      return undefined;
    }
  }

  /** Hashes an open blob. @returns the sums of its blocks; `undefined` if it is wrong, and then it is in quarantine. */
  async check(digest: Digest, file: SharedFd): Promise<Sums | undefined> {
    let check = this.#checks.get(digest);
    if (check === undefined) {
      const release = file.retain();
      check = this.#check(digest, file).finally(() => {
        this.#checks.delete(digest);
        release();
      });
      this.#checks.set(digest, check);
    }
    return await check;
  }

  /** Hashes a file that has no row and indexes it; a wrong one is put aside. `undefined` if there is none, or was. */
  async adopt(digest: Digest): Promise<BlobRow | undefined> {
    let adoption = this.#adoptions.get(digest);
    if (adoption === undefined) {
      const file = this.tryOpen(digest);
      if (file === undefined) {
        this.orphans.remove(digest);
        return undefined;
      }
      adoption = this.#adopt(digest, file).finally(() => {
        this.#adoptions.delete(digest);
        file.release();
      });
      this.#adoptions.set(digest, adoption);
    }
    return await adoption;
  }

  /** Indexes what an ingest has just put into its place. @throws {Error} if the index cannot take it. */
  async index(row: BlobRow, children: readonly Digest[], link: Link | undefined): Promise<void> {
    const {index, memory, now, used} = this.#parts;
    try {
      used(await index.ask('commit', row, children, link, now()));
    } catch (error) {
      this.orphans.add(row.digest, row.sizeBytes);
      memory.changed(row); // it is right all the same
      throw error;
    }
    this.orphans.remove(row.digest);
    memory.changed(row);
    if (link !== undefined) memory.addLink(link);
  }

  /**
   * Drops blobs: first their rows, then their files. A death in between leaves files that nothing names, which are
   * found and adopted later: room is lost for a while. The other way round it would leave rows for what is not there.
   * Open descriptors go on reading. What is hosted, is being written, or is leaving already, is left out.
   * @returns bytes freed.
   */
  async drop(digests: readonly Digest[], reason: EvictionReason): Promise<number> {
    const victims = digests.filter((digest) => !this.#isNeeded(digest) && !this.#leaving.has(digest));
    if (victims.length === 0) return 0;
    const left = Promise.withResolvers<void>();
    for (const digest of victims) this.#leaving.set(digest, left.promise);
    try {
      this.#parts.memory.forget(victims, true);
      const bytes = await this.#parts.index.ask('drop', victims, true);
      this.#parts.memory.forget(victims, true); // again: an answer that was on its way may have brought one back
      fault('store.evict.dropped');
      const stuck = await this.#unlink(victims);
      fault('store.evict.unlinked');
      this.#parts.used(-bytes);
      this.#parts.events.evicted?.(reason, victims.length, bytes);
      return bytes - stuck;
    } finally {
      for (const digest of victims) this.#leaving.delete(digest);
      left.resolve();
    }
  }

  /** Unlinks files that have no row, the first found first, until so many bytes are free. @returns how many are. */
  async dropOrphans(bytes: number): Promise<number> {
    let freed = 0;
    for (const [digest, sizeBytes] of this.orphans.entries) {
      if (freed >= bytes) break;
      if (this.#isNeeded(digest) || this.#adoptions.has(digest)) continue;
      this.orphans.remove(digest);
      this.#parts.memory.forget([digest], false); // a file whose row could not be written is known there
      if ((await this.#unlink([digest])) === 0) freed += sizeBytes;
    }
    return freed;
  }

  #isNeeded(digest: Digest): boolean {
    return this.ingests.has(digest) || this.#parts.pins.has(digest);
  }

  /** Whether its file is being dropped: it is no orphan. */
  isLeaving(digest: Digest): boolean {
    return this.#leaving.has(digest);
  }

  /** Resolves when nothing is unlinking the digest's file: an ingest of it may rename its own into place then. */
  async vacant(digest: Digest): Promise<void> {
    await this.#leaving.get(digest);
  }

  /** The row's file is not there (somebody removed it): the row goes. */
  async #lostFile(digest: Digest): Promise<void> {
    if (this.#leaving.has(digest) || this.ingests.has(digest)) return;
    await this.#dropRow(digest);
  }

  failed(operation: StoreOperation, error: unknown): void {
    this.#parts.events.failed?.(operation, error);
  }

  async #ask(digest: Digest): Promise<BlobRow | undefined> {
    const {memory, index} = this.#parts;
    const {changes} = memory;
    try {
      const row = await index.ask('blob', digest);
      if (row !== undefined && memory.changes === changes) memory.keepRow(row);
      return row;
    } catch (error) {
      this.failed('index', error); // the file is probed instead
      return undefined;
    }
  }

  async #check(digest: Digest, file: SharedFd): Promise<Sums | undefined> {
    const stat = statFile(file);
    try {
      const sums = await this.#proven(digest, file, stat);
      if (sums === undefined) await this.#quarantine(digest, file);
      else await this.#restamp(digest, Number(stat.size), stampOf(stat));
      return sums;
    } catch (error) {
      this.failed('hash', error); // it cannot be read: nothing is known, and nothing is served
      return undefined;
    }
  }

  /** What is no file (a folder in its place) is wrong, too. */
  async #proven(digest: Digest, file: SharedFd, stat: BigIntStats): Promise<Sums | undefined> {
    if (!stat.isFile()) return undefined;
    const {algorithm, hex} = splitDigest(digest);
    const found = await this.#parts.pool.sumFile(file, algorithm, Number(stat.size));
    return found.hex === hex ? found.sums : undefined;
  }

  async #restamp(digest: Digest, sizeBytes: number, stamp: string): Promise<void> {
    const row = this.#parts.memory.row(digest) ?? (await this.#ask(digest));
    if (row === undefined || (row.stamp === stamp && row.sizeBytes === sizeBytes)) return;
    this.#parts.memory.changed({...row, sizeBytes, stamp});
    await this.#parts.index
      .ask('restamp', digest, sizeBytes, stamp)
      .catch((error: unknown) => this.failed('index', error));
  }

  async #adopt(digest: Digest, file: SharedFd): Promise<BlobRow | undefined> {
    const stat = statFile(file);
    const sizeBytes = Number(stat.size);
    try {
      if ((await this.#proven(digest, file, stat)) === undefined) {
        await this.#quarantine(digest, file);
        return undefined;
      }
      const bytes = sizeBytes <= MAX_MANIFEST_BYTES ? await readFully(file.fd, sizeBytes) : undefined;
      const {kind, mediaType, children} = natureOf(bytes ?? Buffer.alloc(0));
      const row = {digest, kind, sizeBytes, mediaType, stamp: stampOf(stat)};
      await this.index(row, children, undefined).catch((error: unknown) => this.failed('index', error));
      this.#parts.events.adopted?.(digest);
      return row;
    } catch (error) {
      this.failed('hash', error);
      return undefined;
    }
  }

  /** Puts a wrong file aside, unless another has taken its place meanwhile. */
  async #quarantine(digest: Digest, file: SharedFd): Promise<void> {
    const {folder, quarantine, events, now} = this.#parts;
    const path = folder.blob(digest);
    try {
      const [stat, there] = [statFile(file), lstatSync(path, {bigint: true, throwIfNoEntry: false})];
      if (there === undefined || there.ino !== stat.ino) return;
      renameSync(path, folder.quarantined(digest));
      quarantine.add(folder.quarantined(digest), Number(stat.size), now());
    } catch (error) {
      this.failed('evict', error); // a read-only disk: it stays, is found wrong each time, and is never served
    }
    events.quarantined?.(digest);
    this.orphans.remove(digest);
    await this.#dropRow(digest);
  }

  async #dropRow(digest: Digest): Promise<void> {
    this.#parts.memory.forget([digest], false);
    try {
      this.#parts.used(-(await this.#parts.index.ask('drop', [digest], false)));
    } catch (error) {
      this.failed('index', error);
    }
    this.#parts.memory.forget([digest], false);
  }

  /** @returns bytes of what could not be removed. */
  async #unlink(digests: readonly Digest[]): Promise<number> {
    const {folder} = this.#parts;
    let stuck = 0;
    const files = new Map(digests.map((digest) => [folder.blob(digest), digest]));
    await unlinkAll([...files.keys()], (path, error) => {
      this.failed('evict', error);
      const sizeBytes = lstatSync(path, {throwIfNoEntry: false})?.size ?? 0;
      stuck += sizeBytes;
      const digest = files.get(path);
      if (digest !== undefined) this.orphans.add(digest, sizeBytes);
    });
    return stuck;
  }
}
