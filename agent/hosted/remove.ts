import type {Digest} from '../../oci/digest.ts';
import {OciError} from '../../oci/error.ts';
import type {Caller} from '../access/caller.ts';
import type {Driver} from './contract.ts';
import {moveTag, type PushRules} from './push.ts';

/** One page of a repository's tags. */
const PAGE = 1_000;

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
  const tags = await tagsAt(driver, repository, digest);
  const fixed = tags.find((tag) => rules.isImmutable(repository, tag));
  if (fixed !== undefined)
    throw new OciError(
      'DENIED',
      `The tag ${fixed} is immutable here (hosted.immutableTags), and it is at this manifest`,
    );
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
  for (let after = ''; ;) {
    const tags = await metadata.tags(repository, {after, limit: PAGE});
    for (const tag of tags) if ((await metadata.tag(repository, tag))?.digest === digest) found.push(tag);
    const last = tags.at(-1);
    if (last === undefined || tags.length < PAGE) return found;
    after = last;
  }
}

/** Removes a blob from a repository, whatever refers to it. @returns bytes freed. @throws {OciError} BLOB_UNKNOWN. */
export async function removeBlob({metadata, content}: Driver, repository: string, digest: Digest): Promise<number> {
  if (!(await metadata.removeLink(repository, digest)))
    throw new OciError('BLOB_UNKNOWN', 'There is no such blob in this repository');
  return await content.release(digest);
}
