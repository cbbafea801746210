import type {Digest} from '../../oci/digest.ts';
import {OciError} from '../../oci/error.ts';
import type {Caller} from '../access/caller.ts';
import type {Driver} from './contract.ts';
import {allTags} from './every.ts';
import {moveTag, type PushRules} from './push.ts';

interface Where {
  readonly repository: string;
  readonly caller: Caller;
}

/** Removes a tag; the manifest stays. @throws {OciError} MANIFEST_UNKNOWN, DENIED. */
export async function removeTag({metadata}: Driver, rules: PushRules, where: Where, tag: string): Promise<void> {
  if (!(await moveTag(metadata, rules, {...where, tag, to: undefined})))
    throw new OciError('MANIFEST_UNKNOWN', 'There is no such tag');
}

/**
 * Removes a manifest and every tag that is at it. What it referred to is collected later.
 * @returns bytes freed at once. @throws {OciError} MANIFEST_UNKNOWN, DENIED.
 */
export async function removeManifest(driver: Driver, rules: PushRules, where: Where, digest: Digest): Promise<number> {
  const {metadata, content} = driver;
  const {repository} = where;
  if ((await metadata.manifest(repository, digest)) === undefined)
    throw new OciError('MANIFEST_UNKNOWN', 'There is no such manifest in this repository');
  await refuseNeeded(driver, rules, repository, digest);
  await untag(driver, rules, where, digest);
  await metadata.removeManifest(repository, digest);
  await untag(driver, rules, where, digest); // set meanwhile: as if it had been set before
  return await content.release(digest);
}

async function untag(driver: Driver, rules: PushRules, where: Where, digest: Digest): Promise<void> {
  for (const tag of await tagsAt(driver, where.repository, digest)) {
    const move = {at: rules.now(), by: where.caller.identity, from: digest, to: undefined};
    await driver.metadata.moveTag(where.repository, tag, move); // `false`: it has gone elsewhere
  }
}

/** Tags that are at a manifest. */
export async function tagsAt({metadata}: Driver, repository: string, digest: Digest): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const state of allTags(metadata, repository)) if (state.digest === digest) found.push(state.tag);
  return found;
}

/**
 * Removes a blob from a repository, whatever refers to it but an immutable tag.
 * @returns bytes freed. @throws {OciError} BLOB_UNKNOWN, DENIED.
 */
export async function removeBlob(
  driver: Driver,
  rules: PushRules,
  repository: string,
  digest: Digest,
): Promise<number> {
  const {metadata, content} = driver;
  if (await metadata.hasLink(repository, digest)) await refuseNeeded(driver, rules, repository, digest);
  if (!(await metadata.removeLink(repository, digest)))
    throw new OciError('BLOB_UNKNOWN', 'There is no such blob in this repository');
  return await content.release(digest);
}

/** What an immutable tag is, and all that this refers to, stays (D-043, D-114). @throws {OciError} DENIED. */
async function refuseNeeded({metadata}: Driver, rules: PushRules, repository: string, digest: Digest): Promise<void> {
  if (!rules.anyImmutable()) return;
  const seen = new Set<Digest>();
  for await (const {tag, digest: root} of allTags(metadata, repository)) {
    if (!rules.isImmutable(repository, tag)) continue;
    const waiting = [root];
    for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
      if (at === digest)
        throw new OciError('DENIED', `The tag ${tag} is immutable here (hosted.immutableTags), and needs it`);
      if (seen.has(at)) continue;
      seen.add(at);
      waiting.push(...((await metadata.manifest(repository, at))?.children ?? []));
    }
  }
}
