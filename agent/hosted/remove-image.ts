import {isDigest, type Digest} from '../../oci/digest.ts';
import {OciError} from '../../oci/error.ts';
import type {Caller} from '../access/caller.ts';
import type {HostedRemoved} from '../api/hosted.ts';
import type {Driver, Metadata} from './contract.ts';
import type {PushRules} from './push.ts';
import {removeManifest, removeTag, tagsAt} from './remove.ts';

/** Of the manifests that refer to one. */
const MAX_REFERRERS = 1_000;

/**
 * Removes an image as a person means it: a tag, and unless another tag or index has it too its manifest, what that alone
 * lists and what refers to it (signatures); or a digest with all tags that are at it. Otherwise what nobody can name any
 * more would stay for good. Collection frees the room.
 * @throws {OciError} MANIFEST_UNKNOWN, DENIED
 */
export async function removeImage(
  driver: Driver,
  rules: PushRules,
  where: {readonly repository: string; readonly caller: Caller},
  reference: string,
): Promise<HostedRemoved> {
  const {metadata} = driver;
  const {repository} = where;
  const asked = isDigest(reference) ? reference : undefined;
  const root = asked ?? (await metadata.tag(repository, reference))?.digest;
  if (root === undefined) throw new OciError('MANIFEST_UNKNOWN', 'There is no such tag');
  const waiting = [...(await below(metadata, repository, root)), ...(asked === undefined ? [root] : [])];
  const tags = asked === undefined ? [reference] : await tagsAt(driver, repository, asked);
  if (asked === undefined) await removeTag(driver, rules, where, reference);
  else await removeManifest(driver, rules, where, asked);
  const manifests: Digest[] = asked === undefined ? [] : [asked];
  const seen = new Set<Digest>();
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop()) {
    if (seen.has(at) || (await metadata.manifest(repository, at)) === undefined) continue;
    if (await isNeeded(driver, repository, at)) continue;
    seen.add(at);
    const more = await below(metadata, repository, at);
    await removeManifest(driver, rules, where, at);
    manifests.push(at);
    waiting.push(...more);
  }
  return {tags, manifests};
}

/** What an image lists, and what refers to it. */
async function below(metadata: Metadata, repository: string, digest: Digest): Promise<readonly Digest[]> {
  const record = await metadata.manifest(repository, digest);
  const referrers = await metadata.referrers(repository, digest, {after: '', limit: MAX_REFERRERS});
  return [...(record?.children ?? []), ...referrers.map((referrer) => referrer.digest)];
}

/** Whether a tag is at it, or another manifest lists it. */
async function isNeeded(driver: Driver, repository: string, digest: Digest): Promise<boolean> {
  if ((await tagsAt(driver, repository, digest)).length > 0) return true;
  for await (const {children} of driver.metadata.manifests(repository)) if (children.includes(digest)) return true;
  return false;
}
