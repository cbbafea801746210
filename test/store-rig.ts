import {randomBytes} from 'node:crypto';
import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {Ingest, Limits, Link, Store} from '../agent/store/contract.ts';
import {type DiskStore, openStore} from '../agent/store/disk-store.ts';
import type {StoreEvents} from '../agent/store/events.ts';
import type {LocalStoreOptions} from '../agent/store/local-store.ts';
import {type Digest, digestOf} from '../oci/digest.ts';

/** An hour in ms: uses of one pull are taken together, so tests that mean two uses put hours between them. */
export const HOUR = 3600_000;
export const ROOMY: Limits = {maxBytes: 1024 ** 3, minFree: {bytes: 0}, maxIdleMs: 30 * 24 * HOUR};

/** A folder for one test. */
export class TemporaryFolder implements Disposable {
  readonly path: string = mkdtempSync(join(tmpdir(), 'noost-store-'));
  [Symbol.dispose](): void {
    rmSync(this.path, {recursive: true, force: true});
  }
}

/** A store with what it told, and a clock that stands until it is set. */
export class StoreRig implements AsyncDisposable {
  readonly store: DiskStore;
  /** Events as lines: `quarantined sha256:…`, `evicted size 2 300`, `failed index …`. */
  readonly told: string[];
  readonly clock: {now: number};
  private constructor(store: DiskStore, told: string[], clock: {now: number}) {
    this.store = store;
    this.told = told;
    this.clock = clock;
  }

  static async open(path: string, options: Partial<LocalStoreOptions> & {at?: number} = {}): Promise<StoreRig> {
    const [told, clock]: [string[], {now: number}] = [[], {now: options.at ?? Date.now()}];
    const store = await openStore(path, {
      limits: ROOMY,
      events: listTo(told),
      now: () => clock.now,
      hashers: 1,
      ...options,
    });
    return new StoreRig(store, told, clock);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.store.close();
  }
}

/** Bytes that nothing else has, with their digest. */
export function newContent(sizeBytes: number): {readonly bytes: Buffer; readonly digest: Digest} {
  const bytes = randomBytes(sizeBytes);
  return {bytes, digest: digestOf(bytes)};
}

/** Writes and commits a blob as a flight would. */
export async function keep(
  store: Store,
  bytes: Buffer,
  as: Partial<CommitAs> & {readonly sizeBytes?: number | undefined} = {},
): Promise<Digest> {
  const digest = digestOf(bytes);
  const ingest = await store.ingest(digest, as.sizeBytes);
  await ingest.append([bytes.subarray(ingest.writtenBytes)]);
  await ingest.verify(bytes.length);
  await ingest.commit({kind: 'blob', mediaType: undefined, children: [], link: undefined, ...as});
  return digest;
}
type CommitAs = Parameters<Ingest['commit']>[0];

export function linkTo(digest: Digest, repository = 'library/alpine', rest: Partial<Link> = {}): Link {
  return {
    registry: 'docker.io',
    repository,
    digest,
    authority: 'anonymous',
    kind: 'blob',
    mediaType: undefined,
    sizeBytes: 1,
    provenAt: 1,
    ...rest,
  };
}

function listTo(told: string[]): StoreEvents {
  return {
    evicted: (reason, blobs, bytes) => told.push(`evicted ${reason} ${blobs} ${bytes}`),
    quarantined: (digest) => told.push(`quarantined ${digest}`),
    adopted: (digest) => told.push(`adopted ${digest}`),
    failed: (operation, error) => told.push(`failed ${operation} ${String(error)}`),
    rebuilt: () => told.push('rebuilt'),
    degraded: (cause) => told.push(cause === undefined ? 'healed' : 'degraded'),
  };
}
