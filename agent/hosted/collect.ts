import type {Digest} from '../../oci/digest.ts';
import {fault} from '../../proc/fault.ts';
import {SETTLED_BEFORE, type Driver, type LinkState} from './contract.ts';
import type {Sessions} from './sessions.ts';

/** What a collection did. */
export interface Collected {
  readonly blobs: number;
  readonly uploads: number;
  readonly bytes: number;
}

export interface CollectOptions {
  /** Uploads on which nothing happened for so long are dropped, and so are claims of pushes that never ended. */
  readonly expiryMs: number;
  readonly now: () => number;
  readonly signal?: AbortSignal;
}

const PAGE = 1_000;

/**
 * Removes what nothing refers to, while pushes and pulls go on: abandoned uploads, and blobs of a repository that none of
 * its manifests names and no push has claimed lately. Untagged manifests stay: they may be pulled by digest.
 * Safe to kill at any point: each step is one removal, and the next run goes on.
 */
export async function collect(driver: Driver, sessions: Sessions, options: CollectOptions): Promise<Collected> {
  const uploads = await collectUploads(driver, sessions, options);
  let [blobs, bytes] = [0, uploads.bytes];
  for (let after = ''; ;) {
    const repositories = await driver.metadata.repositories({after, limit: PAGE});
    for (const repository of repositories) {
      options.signal?.throwIfAborted();
      for (const link of await unneeded(driver, repository, options)) {
        if (!(await driver.metadata.collectLink(repository, link))) continue;
        fault('hosted.collect.unlinked');
        blobs++;
        bytes += await driver.content.release(link.digest);
      }
    }
    const last = repositories.at(-1);
    if (last === undefined || repositories.length < PAGE) break;
    after = last;
  }
  await driver.metadata.tidy();
  return {blobs, uploads: uploads.count, bytes};
}

/** Links first and manifests after: what is claimed or settled meanwhile is not as it was seen, and stays. */
async function unneeded({metadata}: Driver, repository: string, options: CollectOptions): Promise<LinkState[]> {
  const links: LinkState[] = [];
  for await (const link of metadata.links(repository)) {
    const isClaimed = link.claimedAt >= SETTLED_BEFORE && link.claimedAt > options.now() - options.expiryMs;
    if (!isClaimed) links.push(link);
  }
  if (links.length === 0) return [];
  const needed = new Set<Digest>();
  for await (const {children} of metadata.manifests(repository)) for (const child of children) needed.add(child);
  return links.filter(({digest}) => !needed.has(digest));
}

async function collectUploads(
  {metadata, content}: Driver,
  sessions: Sessions,
  {expiryMs, now}: CollectOptions,
): Promise<{readonly count: number; readonly bytes: number}> {
  const before = now() - expiryMs;
  const ids = new Set<string>();
  for await (const {id, startedAt} of metadata.uploads()) {
    const changedAt = Math.max(startedAt, (await content.uploadState(id))?.changedAt ?? 0);
    if (changedAt < before) ids.add(id);
  }
  for (const id of await content.uploadIds()) {
    if ((await metadata.upload(id)) !== undefined) continue;
    const state = await content.uploadState(id);
    if (state !== undefined && state.changedAt < before) ids.add(id); // its record is gone
  }
  let [count, bytes] = [0, 0];
  for (const id of ids) {
    const dropped = await sessions.drop(id);
    if (dropped === undefined) continue;
    count++;
    bytes += dropped;
  }
  return {count, bytes};
}
