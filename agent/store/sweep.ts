import {lstat, readdir} from 'node:fs/promises';
import {join} from 'node:path';
import {setImmediate as turn, setTimeout as delay} from 'node:timers/promises';
import {type Algorithm, type Digest, isDigest} from '../../oci/digest.ts';
import {statFile} from './disk-blob.ts';
import type {Folder} from './folder.ts';
import type {IndexClient} from './index-client.ts';
import type {Shelf} from './shelf.ts';

export interface SweepParts {
  readonly folder: Folder;
  readonly index: IndexClient;
  readonly shelf: Shelf;
  readonly signal: AbortSignal;
}

/** Links and tags without a blob are kept for so long: whoever asked by HEAD may come back with a GET. */
const LOOSE_NAMES_MS = 7 * 24 * 3600_000;
/** Bytes that a scrub reads in a second: a fiftieth of what a plain disk gives. */
const SCRUB_BYTES_PER_SECOND = 4 * 1024 * 1024;
const SCRUB_PAGE = 64;
const ALGORITHMS: readonly Algorithm[] = ['sha256', 'sha512'];

/**
 * Makes files and index agree, in the background: counts files that no row knows and then hashes and adopts them one
 * at a time; drops rows whose file is gone. Folder by folder, with a turn of the event loop in between.
 * @returns when it has been through, or is told to stop.
 */
export async function sweep(parts: SweepParts, now: number): Promise<void> {
  for (const algorithm of ALGORITHMS) {
    for (let shard = 0; shard < 256; shard++) {
      if (parts.signal.aborted) return;
      await sweepShard(parts, algorithm, shard.toString(16).padStart(2, '0'));
      await turn();
    }
  }
  await parts.index.ask('tidyNames', now - LOOSE_NAMES_MS);
  const orphans = [...parts.shelf.orphans.digests]; // as found: one that cannot be indexed comes back into the set
  for (const digest of orphans) {
    if (parts.signal.aborted) return;
    await parts.shelf.adopt(digest);
  }
}

/** Re-hashes all blobs, one at a time and slowly; what is wrong goes into quarantine and is fetched again (design §5). */
export async function scrub(
  {index, shelf, signal}: SweepParts,
  bytesPerSecond = SCRUB_BYTES_PER_SECOND,
): Promise<void> {
  for (let last = ''; ;) {
    const page = await index.ask('after', last, SCRUB_PAGE);
    for (const digest of page) {
      if (signal.aborted) return;
      const file = shelf.tryOpen(digest);
      if (file === undefined) continue; // evicted meanwhile
      const sizeBytes = Number(statFile(file).size);
      await shelf.check(digest, file).finally(() => file.release());
      await delay((sizeBytes / bytesPerSecond) * 1000, undefined, {ref: false, signal}).catch(() => {}); // the loop looks at the signal
    }
    last = page.at(-1) ?? '';
    if (last === '') return;
  }
}

async function sweepShard({folder, index, shelf}: SweepParts, algorithm: Algorithm, shard: string): Promise<void> {
  const path = join(folder.blobs, algorithm, shard);
  // The rows first: a blob that is committed meanwhile has a file that is not missed, one that goes has its row gone.
  const rows = new Set((await index.ask('shard', `${algorithm}:${shard}`)).map(({digest}) => digest));
  const names = new Set(await namesIn(path));
  for (const name of names) {
    const digest = `${algorithm}:${name}`;
    if (!isDigest(digest) || rows.has(digest) || shelf.ingests.has(digest)) continue;
    const stat = await lstat(join(path, name)).catch(() => undefined);
    if (!stat?.isFile() || (await index.ask('blob', digest)) !== undefined || shelf.isLeaving(digest)) continue;
    shelf.orphans.add(digest, stat.size);
  }
  // Opening finds out by itself, carefully, that a file is gone.
  for (const digest of rows) if (!names.has(digest.slice(algorithm.length + 1))) await forgetIfGone(shelf, digest);
}

async function forgetIfGone(shelf: Shelf, digest: Digest): Promise<void> {
  (await shelf.open(digest))?.close();
}

async function namesIn(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
