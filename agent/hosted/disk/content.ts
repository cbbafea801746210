import {randomBytes} from 'node:crypto';
import {fchmod, fsync, openSync, unlinkSync} from 'node:fs';
import {stat, unlink, writeFile} from 'node:fs/promises';
import {dirname, join} from 'node:path';
import {promisify} from 'node:util';
import {type Algorithm, type Digest, digestOf, splitDigest} from '../../../oci/digest.ts';
import {fault} from '../../../proc/fault.ts';
import type {OpenBlob} from '../../store/contract.ts';
import type {Disk} from '../../store/disk.ts';
import {DiskBlob, stampOf, statFile} from '../../store/disk-blob.ts';
import {moveInto, syncFolder} from '../../store/durable.ts';
import {readFully} from '../../store/read-fully.ts';
import {SharedFd} from '../../store/shared-fd.ts';
import type {Sums} from '../../store/sums.ts';
import type {Content, LetGo, UploadBytes, UploadState} from '../contract.ts';
import {Keyed} from '../keyed.ts';
import {namesIn} from './durable-files.ts';
import type {DiskParts} from './parts.ts';
import {DiskSpace} from './space.ts';
import {DiskUpload} from './upload.ts';

const [sync, setMode] = [promisify(fsync), promisify(fchmod)];
/** How long an upload's file stays open for the next request, and how many do. */
const IDLE_MS = 60_000;
const MAX_IDLE = 128;

/** What is hosted lies among the blobs of the cache, pinned (design §5, §7). */
export class DiskContent implements Content {
  readonly #parts: DiskParts;
  readonly #space: DiskSpace;
  /** One commit of a digest at a time. */
  readonly #alone = new Keyed();
  /** Uploads whose file is open though no request is under way, the longest idle first. */
  readonly #idle = new Map<string, {readonly upload: DiskUpload; readonly timer: NodeJS.Timeout}>();
  constructor(parts: DiskParts) {
    this.#parts = parts;
    this.#space = new DiskSpace(() => parts.disk());
  }

  async stat(digest: Digest): Promise<number | undefined> {
    // Not by the index alone: HEAD must not promise what GET does not find.
    const blob = await this.#parts.disk().shelf.open(digest);
    blob?.close();
    return blob?.sizeBytes;
  }

  async open(digest: Digest): Promise<OpenBlob | undefined> {
    return await this.#parts.disk().shelf.open(digest);
  }

  async verify(blob: OpenBlob): Promise<Sums | undefined> {
    if (!(blob instanceof DiskBlob)) throw new TypeError('Not a blob of this store');
    return await this.#parts.disk().shelf.check(blob.digest, blob.file);
  }

  async read(digest: Digest, maxBytes: number): Promise<Buffer | undefined> {
    const {shelf} = this.#parts.disk();
    const blob = await shelf.open(digest);
    if (blob === undefined) return undefined;
    try {
      if (blob.sizeBytes > maxBytes) return undefined;
      const bytes = await readFully(blob.fd, blob.sizeBytes);
      if (digestOf(bytes, splitDigest(digest).algorithm) === digest) return bytes;
      await shelf.check(digest, blob.file); // says so, and puts it aside
      return undefined;
    } finally {
      blob.close();
    }
  }

  async hold(digest: Digest): Promise<LetGo | undefined> {
    const disk = this.#parts.disk();
    const letGo = disk.pins.hold(digest);
    await disk.shelf.vacant(digest); // what began to leave before it was held is gone
    if ((await this.stat(digest)) !== undefined) return letGo;
    letGo();
    return undefined;
  }

  async put(digest: Digest, bytes: Buffer): Promise<LetGo> {
    const {folder} = this.#parts.disk();
    const path = join(folder.temporary, randomBytes(12).toString('hex'));
    await this.#space.expect(bytes.length);
    try {
      await writeFile(path, bytes, {flag: 'wx', mode: 0o600});
      const file = new SharedFd(openSync(path, 'r'));
      try {
        return await this.#publish(digest, path, file, true);
      } finally {
        file.release();
      }
    } catch (error) {
      await unlink(path).catch(() => undefined); // in its place already, or found by tidying
      throw error;
    }
  }

  upload(id: string, algorithm: Algorithm = 'sha256'): Promise<UploadBytes> {
    const idle = this.#takeIdle(id);
    if (idle !== undefined) return Promise.resolve(idle);
    const path = this.#parts.places.uploadBytes(id);
    const upload = new DiskUpload({
      path,
      algorithm,
      pool: () => this.#parts.disk().pool,
      space: this.#space,
      publish: async (...what) => await this.#publish(...what),
      closed: (closed) => this.#keepIdle(id, closed),
    });
    return Promise.resolve(upload);
  }

  async uploadState(id: string): Promise<UploadState | undefined> {
    const found = await stat(this.#parts.places.uploadBytes(id)).catch(() => undefined);
    return found === undefined ? undefined : {bytes: found.size, changedAt: found.mtimeMs};
  }

  async uploadIds(): Promise<readonly string[]> {
    const {places} = this.#parts;
    return (await namesIn(places.uploads)).map((name) => places.idOfBytes(name)).filter((id) => id !== undefined);
  }

  async dropUpload(id: string): Promise<number> {
    this.#takeIdle(id)?.end();
    const path = this.#parts.places.uploadBytes(id);
    const bytes = (await this.uploadState(id))?.bytes ?? 0;
    await unlink(path).catch(() => undefined); // there may be none
    return bytes;
  }

  async release(digest: Digest): Promise<number> {
    const {pins, shelf, index} = this.#parts.disk();
    if (pins.has(digest)) {
      await this.#parts.suspects.clear(digest);
      return 0;
    }
    const isCached = (await index.ask('links', digest)).length > 0; // for an upstream as well
    const bytes = isCached ? 0 : await shelf.drop([digest], 'removed');
    fault('hosted.released');
    await this.#parts.suspects.clear(digest);
    return bytes;
  }

  /** What an earlier process may have left. @returns bytes freed. */
  async releaseSuspects(): Promise<number> {
    let bytes = 0;
    for (const digest of await this.#parts.suspects.all()) bytes += await this.release(digest);
    return bytes;
  }

  /** Lets go of all files. */
  close(): void {
    for (const id of Array.from(this.#idle.keys())) this.#takeIdle(id)?.end();
  }

  /**
   * Puts a file with the right bytes into its place: sync, rename, sync the folder, index; in an order that survives
   * a crash (design §5). Where the blob is there and right, the file goes away.
   * @param mayDiscard otherwise it takes its place, which lasts as long as for a blob that is not there.
   */
  async #publish(digest: Digest, path: string, file: SharedFd, mayDiscard: boolean): Promise<LetGo> {
    const disk = this.#parts.disk();
    const hold = disk.pins.hold(digest);
    const letGo = (): void => {
      hold();
      // By now it is linked, or never will be.
      this.release(digest).catch((error: unknown) => disk.shelf.failed('evict', error));
    };
    try {
      await this.#parts.suspects.add(digest);
      await this.#alone.run(digest, async () => {
        await disk.shelf.vacant(digest);
        if (mayDiscard && (await isThere(disk, digest))) unlinkSync(path);
        else await moveToBlobs(disk, digest, path, file);
        await syncFolder(disk.folder.shard(digest));
      });
      return letGo;
    } catch (error) {
      letGo();
      throw error;
    }
  }

  #keepIdle(id: string, upload: DiskUpload): void {
    const timer = setTimeout(() => this.#takeIdle(id)?.end(), IDLE_MS);
    this.#idle.set(id, {upload, timer: timer.unref()});
    const [oldest] = this.#idle.keys();
    if (this.#idle.size > MAX_IDLE && oldest !== undefined) this.#takeIdle(oldest)?.end();
  }

  #takeIdle(id: string): DiskUpload | undefined {
    const idle = this.#idle.get(id);
    this.#idle.delete(id);
    clearTimeout(idle?.timer);
    return idle?.upload;
  }
}

async function isThere(disk: Disk, digest: Digest): Promise<boolean> {
  const blob = await disk.shelf.open(digest);
  blob?.close();
  return blob !== undefined;
}

async function moveToBlobs(disk: Disk, digest: Digest, path: string, file: SharedFd): Promise<void> {
  await setMode(file.fd, 0o444);
  await sync(file.fd);
  fault('hosted.upload.durable');
  const place = disk.folder.blob(digest);
  await moveInto(path, place);
  fault('hosted.upload.renamed');
  await syncFolder(dirname(place));
  const stat = statFile(file); // after the rename, which changes ctime
  const sizeBytes = Number(stat.size);
  const row = {digest, kind: 'blob', sizeBytes, mediaType: undefined, stamp: stampOf(stat)} as const;
  // An index that cannot take it is no reason to refuse: the file is there, and is found without it.
  await disk.shelf.index(row, [], undefined).catch((error: unknown) => disk.shelf.failed('index', error));
  fault('hosted.upload.indexed');
}
