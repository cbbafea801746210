import type {Digest} from '../../oci/digest.ts';
import {Ballast} from './ballast.ts';
import {type Folder, prepareFolder} from './folder.ts';
import {HashPool} from './hash-pool.ts';
import {IndexClient} from './index-client.ts';
import type {EvictionReason, StoreEvents} from './events.ts';
import type {LocalStoreOptions} from './local-store.ts';
import {type FolderLock, lockFolder} from './lock.ts';
import {Memory} from './memory.ts';
import {loadPins, type Pins} from './pins.ts';
import {Room} from './room.ts';
import {Shelf} from './shelf.ts';
import {SideFiles} from './side-files.ts';

/** The parts of an open store, wired. */
export interface Disk {
  readonly folder: Folder;
  readonly lock: FolderLock;
  readonly index: IndexClient;
  readonly ballast: Ballast;
  readonly memory: Memory;
  readonly pool: HashPool;
  readonly shelf: Shelf;
  readonly room: Room;
  /** Parts that wait for a resume. */
  readonly leftovers: SideFiles;
  readonly quarantine: SideFiles;
  /** What is hosted. */
  readonly pins: Pins;
  readonly events: StoreEvents;
  readonly now: () => number;
  readonly monotonic: () => number;
  /** Last uses that the index does not know yet, in ms since the epoch. */
  readonly uses: Map<Digest, number>;
  /** Called when the index was lost and all files have to be found again. */
  onLost: () => void;
}

const DAY_MS = 24 * 3600_000;
const MAX_LEFTOVERS = 64;
const HOST_BATCH = 5_000;
const MAX_QUARANTINED = 16;
const MAX_QUARANTINE_BYTES = 256 * 1024 * 1024;

/** Opens and wires everything. @throws {DataFolderError}, or an error of the disk, which may heal. */
export async function openDisk(root: string, options: LocalStoreOptions): Promise<Disk> {
  const folder = prepareFolder(root);
  const lock = lockFolder(folder);
  let index: IndexClient | undefined;
  try {
    const lost = {now: (error: unknown) => options.events.rebuilt?.(error)};
    const ballast = new Ballast(folder.ballast, options.limits.maxBytes);
    ballast.drop(); // an earlier process's: the index may need the room to open
    index = await IndexClient.open(folder.index, (error) => lost.now(error));
    ballast.take();
    const now = options.now ?? Date.now;
    await index.ask('clamp', now());
    const pins = loadPins(folder.repositories);
    await hostAll(index, pins);
    const {sizeBytes} = await index.ask('stats');
    const disk = wire({folder, lock, index, ballast, pins, now, usedBytes: sizeBytes}, options);
    pins.changed = (digest, isPinned) => void followPin(disk, digest, isPinned);
    lost.now = (error) => {
      hostAll(disk.index, pins).catch((failure: unknown) => disk.shelf.failed('index', failure));
      disk.memory.forgetNames();
      disk.shelf.orphans.clear();
      disk.room.resetUsed();
      options.events.rebuilt?.(error);
      disk.onLost();
    };
    return disk;
  } catch (error) {
    await index?.close();
    lock.release();
    throw error;
  }
}

function wire(
  opened: Pick<Disk, 'folder' | 'lock' | 'index' | 'ballast' | 'pins' | 'now'> & {readonly usedBytes: number},
  {limits, events, hashers, now, monotonic}: LocalStoreOptions,
): Disk {
  const {folder, index, ballast} = opened;
  const leftovers = new SideFiles(folder.ingest, {
    maxFiles: MAX_LEFTOVERS,
    maxBytes: limits.maxBytes / 10,
    maxAgeMs: DAY_MS,
  });
  const quarantine = new SideFiles(folder.quarantine, {
    maxFiles: MAX_QUARANTINED,
    maxBytes: Math.min(MAX_QUARANTINE_BYTES, limits.maxBytes / 50),
    maxAgeMs: 7 * DAY_MS,
  });
  const clock = monotonic ?? now ?? (() => performance.now());
  const [memory, pool, uses] = [new Memory(), new HashPool(hashers), new Map<Digest, number>()];
  const parts = {...opened, memory, pool, leftovers, quarantine, events, uses, monotonic: clock, onLost: () => {}};
  const room: Room = new Room({
    root: folder.root,
    limits,
    usedBytes: opened.usedBytes,
    side: [leftovers, quarantine],
    evict: async (bytes, reason) =>
      await evict({index, ballast, shelf, uses, now: opened.now}, bytes, reason, undefined),
    failed: (error) => events.failed?.('evict', error),
    monotonic: clock,
  });
  const shelf = new Shelf({...parts, used: (bytes) => room.use(bytes)});
  return {...parts, room, shelf};
}

/** Tells a new index what is hosted, in batches: it holds no other question up for long. */
async function hostAll(index: IndexClient, pins: Pins): Promise<void> {
  const digests = [...pins.digests];
  for (let at = 0; at < digests.length; at += HOST_BATCH) await index.ask('host', digests.slice(at, at + HOST_BATCH));
}

/** What is hosted counts as no cache; what is not any more does again. Asks are answered in order: so are these. */
async function followPin({index, room, shelf}: Disk, digest: Digest, isPinned: boolean): Promise<void> {
  try {
    if (isPinned) shelf.orphans.uncount(digest);
    room.use(isPinned ? -(await index.ask('host', [digest])) : await index.ask('unhost', digest));
  } catch (error) {
    shelf.failed('index', error); // the count is off until the next start; `Shelf.drop` looks at the pins themselves
  }
}

/**
 * Drops the coldest images until about so many bytes are free, then files that no row knows.
 * @param idleBefore only what was last used before, in ms since the epoch. @returns bytes freed.
 */
export async function evict(
  disk: Evictable,
  bytes: number,
  reason: EvictionReason,
  idleBefore: number | undefined,
): Promise<number> {
  try {
    return await evictColdest(disk, bytes, reason, idleBefore);
  } catch {
    disk.ballast.drop(); // the disk may be so full that the index cannot note what goes
    return await evictColdest(disk, bytes, reason, idleBefore);
  }
}
type Evictable = Pick<Disk, 'index' | 'ballast' | 'shelf' | 'uses' | 'now'>;

async function evictColdest(
  {index, shelf, uses, now}: Evictable,
  bytes: number,
  reason: EvictionReason,
  idleBefore: number | undefined,
): Promise<number> {
  await flushUses(index, uses);
  let freed = 0;
  for (let more = true; more && freed < bytes;) {
    const ranked = await index.ask('rank', {bytes: bytes - freed, idleBefore, now: now()});
    const dropped = await shelf.drop(ranked.digests, reason);
    freed += dropped;
    // Nothing of what was ranked may go (it is being written): asking again would bring the same.
    more = ranked.more && (dropped > 0 || ranked.digests.length === 0);
  }
  if (freed < bytes && idleBefore === undefined) freed += await shelf.dropOrphans(bytes - freed);
  return freed;
}

/** Writes the last uses that have gathered. */
export async function flushUses(index: IndexClient, uses: Map<Digest, number>): Promise<void> {
  if (uses.size === 0) return;
  const batch = [...uses];
  uses.clear();
  try {
    await index.ask('touch', batch);
  } catch (error) {
    for (const [digest, at] of batch) if (!uses.has(digest)) uses.set(digest, at);
    throw error;
  }
}
