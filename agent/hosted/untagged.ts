import type {Digest} from '../../oci/digest.ts';
import type {Driver, ManifestRecord, Metadata} from './contract.ts';
import {allRepositories, allTags} from './every.ts';

export interface UntaggedOptions {
  /** Only what nobody has pushed, and no tag has been at, since then; in ms since the epoch. */
  readonly before: number;
  /** Looks only. */
  readonly dryRun: boolean;
  readonly signal?: AbortSignal;
}

/** A manifest that nothing names. */
export interface Untagged {
  readonly repository: string;
  readonly digest: Digest;
}

/**
 * Removes manifests that only their digest names: that no tag is at, no index lists that is needed, and that refer to nothing
 * that is. An administrator says from what age on; nothing does it by itself, for pods may run by digest (ADR 0006).
 * Pushes go on meanwhile: what they put or name again stays.
 */
export async function removeUntagged(driver: Driver, options: UntaggedOptions): Promise<readonly Untagged[]> {
  const found: Untagged[] = [];
  for await (const repository of allRepositories(driver.metadata)) {
    options.signal?.throwIfAborted();
    const unneeded = await unneededIn(driver.metadata, repository, options.before);
    const removed = options.dryRun ? unneeded : await remove(driver, repository, unneeded);
    found.push(...removed.map(({digest}) => ({repository, digest})));
  }
  return found;
}

async function unneededIn(metadata: Metadata, repository: string, before: number): Promise<readonly ManifestRecord[]> {
  const records = new Map<Digest, ManifestRecord>();
  for await (const record of metadata.manifests(repository)) records.set(record.digest, record);
  const lastUsed = await lastUsedByTags(metadata, repository);
  // After the manifests: a tag that is made meanwhile is seen, or its manifest is not among them.
  const needed = new Set<Digest>();
  for await (const {digest} of allTags(metadata, repository)) needed.add(digest);
  for (const {digest, pushedAt} of records.values())
    if (Math.max(pushedAt, lastUsed.get(digest) ?? 0) >= before) needed.add(digest);
  const referrers = Map.groupBy(records.values(), ({subject}) => subject);
  // A set grows while it is gone through: what is needed needs what it lists, what refers to it, and what it refers to.
  for (const digest of needed) {
    const record = records.get(digest);
    for (const child of record?.children ?? []) needed.add(child);
    for (const referrer of referrers.get(digest) ?? []) needed.add(referrer.digest);
    if (record?.subject !== undefined) needed.add(record.subject);
  }
  return [...records.values()].filter(({digest}) => !needed.has(digest));
}

/** When a tag has come to a manifest or left it last, as far as it is remembered. */
async function lastUsedByTags(metadata: Metadata, repository: string): Promise<ReadonlyMap<Digest, number>> {
  const last = new Map<Digest, number>();
  for await (const moves of metadata.histories(repository))
    for (const {at, from, to} of moves)
      for (const digest of [from, to]) if (digest !== undefined) last.set(digest, Math.max(at, last.get(digest) ?? 0));
  return last;
}

/** @returns what is gone. */
async function remove(
  {metadata, content}: Driver,
  repository: string,
  unneeded: readonly ManifestRecord[],
): Promise<readonly ManifestRecord[]> {
  const gone = new Map<Digest, ManifestRecord>();
  const startedAt = Math.max(0, ...unneeded.map(({pushedAt}) => pushedAt));
  const held = new Map<Digest, () => void>();
  try {
    for (const record of unneeded) {
      const letGo = await content.hold(record.digest);
      if (letGo !== undefined) held.set(record.digest, letGo);
      // Pushed once more, it is another record: it stays.
      if (await metadata.removeManifest(repository, record.digest, record)) gone.set(record.digest, record);
    }
    // An index that was pushed meanwhile and found it there. One that comes later finds it gone, and says so.
    for await (const {pushedAt, children} of metadata.manifests(repository))
      if (pushedAt > startedAt)
        for (const child of children) {
          const record = gone.get(child);
          if (record !== undefined && gone.delete(child)) await metadata.putManifest(repository, record);
        }
  } finally {
    for (const letGo of held.values()) letGo();
  }
  for (const digest of gone.keys()) await content.release(digest);
  return [...gone.values()];
}
