import {digestOf, splitDigest, type Digest} from '../../oci/digest.ts';
import {OciError} from '../../oci/error.ts';
import type {Caller} from '../access/caller.ts';
import type {Driver, LetGo, ManifestRecord, TagMove} from './contract.ts';
import {readPushed, type PushedManifest} from './manifest-body.ts';

/** What a pushed manifest is to become. */
export interface ManifestPush {
  readonly repository: string;
  /** Given where it is put by digest. */
  readonly digest: Digest | undefined;
  readonly tags: readonly string[];
  readonly bytes: Buffer;
  readonly contentType: string | undefined;
  readonly caller: Caller;
}

export interface PushRules {
  /** Whether a tag can be made but not moved or deleted. */
  isImmutable(repository: string, tag: string): boolean;
  now(): number;
}

/** A tag that others move all the while is given up after so many. */
const MAX_MOVES = 100;
/** How often a manifest is put anew that somebody deletes meanwhile. */
const MAX_PUTS = 5;
const MAX_HOLDERS = 100;

/**
 * Puts a manifest and its tags: when it resolves, all is durable. What the manifest refers to is claimed before and let
 * go of after, so that collection never removes it in between.
 * @throws {OciError} MANIFEST_INVALID, MANIFEST_BLOB_UNKNOWN, DIGEST_INVALID, DENIED for an immutable tag.
 */
export async function pushManifest(driver: Driver, rules: PushRules, push: ManifestPush): Promise<ManifestRecord> {
  const {bytes, repository} = push;
  const digest = digestOf(bytes, push.digest === undefined ? 'sha256' : splitDigest(push.digest).algorithm);
  if (push.digest !== undefined && push.digest !== digest)
    throw new OciError('DIGEST_INVALID', `The manifest has the digest ${digest}`);
  const pushed = readPushed(bytes, push.contentType);
  await refuseImmutable(driver, rules, push, digest);
  const claimed: Digest[] = [];
  const holds: LetGo[] = [];
  try {
    await claimAll(driver, push, pushed, claimed);
    holds.push(await driver.content.put(digest, bytes));
    const record: ManifestRecord = {
      digest,
      mediaType: pushed.mediaType,
      sizeBytes: bytes.length,
      children: [...new Set([...pushed.blobs, ...pushed.optional, ...pushed.manifests])],
      subject: pushed.subject,
      artifactType: pushed.artifactType,
      pushedAt: rules.now(),
    };
    await putWithTags(driver, rules, push, record);
    return record;
  } finally {
    for (const letGo of holds) letGo();
    await driver.metadata.settle(repository, claimed);
  }
}

async function putWithTags(
  {metadata}: Driver,
  rules: PushRules,
  {repository, tags, caller}: ManifestPush,
  record: ManifestRecord,
): Promise<void> {
  for (let attempt = 0; attempt < MAX_PUTS; attempt++) {
    await metadata.putManifest(repository, record);
    for (const tag of tags) await moveTag(metadata, rules, {repository, tag, to: record.digest, caller});
    // Who deletes a manifest removes its tags first: one that was set in between must not point to nothing.
    if ((await metadata.manifest(repository, record.digest)) !== undefined) return;
  }
  throw new OciError('UNAVAILABLE', 'Somebody deletes this manifest all the while: push it again');
}

/** Every tag must exist, or be moved as the rules allow. */
async function refuseImmutable(
  {metadata}: Driver,
  rules: PushRules,
  {repository, tags}: ManifestPush,
  digest: Digest,
): Promise<void> {
  for (const tag of tags) {
    if (!rules.isImmutable(repository, tag)) continue;
    const state = await metadata.tag(repository, tag);
    if (state !== undefined && state.digest !== digest) throw immutable(tag);
  }
}

function immutable(tag: string): OciError {
  return new OciError('DENIED', `The tag ${tag} is immutable here (hosted.immutableTags): push under another one`);
}

/** What a manifest needs is there and stays, or is taken from where the caller may read it. */
async function claimAll(driver: Driver, push: ManifestPush, pushed: PushedManifest, claimed: Digest[]): Promise<void> {
  const {repository} = push;
  const {metadata} = driver;
  const missing: Digest[] = [];
  for (const digest of pushed.blobs) {
    if ((await metadata.claim(repository, digest)) || (await mountAny(driver, push, digest))) claimed.push(digest);
    else missing.push(digest);
  }
  for (const digest of pushed.optional) if (await metadata.claim(repository, digest)) claimed.push(digest);
  for (const digest of pushed.manifests)
    if ((await metadata.manifest(repository, digest)) === undefined) missing.push(digest);
  const [first] = missing;
  if (first === undefined) return;
  const more = missing.length === 1 ? '' : ` and ${missing.length - 1} more`;
  throw new OciError('MANIFEST_BLOB_UNKNOWN', `The repository does not have ${first}${more}: push it first`);
}

/**
 * Shows a blob in a repository that another one has, if the caller may read that. It is claimed.
 * @param from only this one.
 */
export async function mountAny(
  {metadata, content}: Driver,
  {repository, caller}: {readonly repository: string; readonly caller: Caller},
  digest: Digest,
  from?: string,
): Promise<boolean> {
  const sources = from === undefined ? await metadata.holders(digest, MAX_HOLDERS) : [from];
  for (const source of sources) {
    if (!caller.may('pull', source) || !(await metadata.hasLink(source, digest))) continue;
    const letGo = await content.hold(digest);
    if (letGo === undefined) return false;
    try {
      await metadata.addLink(repository, digest);
      return true;
    } finally {
      letGo();
    }
  }
  return false;
}

interface Move {
  readonly repository: string;
  readonly tag: string;
  readonly to: Digest | undefined;
  readonly caller: Caller;
}

/**
 * Moves a tag, or removes it (`to` is undefined). Of two who move it at once both are in its history.
 * @returns whether there was anything to do.
 */
export async function moveTag(
  metadata: Driver['metadata'],
  rules: PushRules,
  {repository, tag, to, caller}: Move,
): Promise<boolean> {
  for (let attempt = 0; attempt < MAX_MOVES; attempt++) {
    const state = await metadata.tag(repository, tag);
    if (state?.digest === to) return false;
    if (state !== undefined && rules.isImmutable(repository, tag)) throw immutable(tag);
    const move: TagMove = {at: rules.now(), by: caller.identity, from: state?.digest, to};
    if (await metadata.moveTag(repository, tag, move)) return true;
  }
  throw new OciError('UNAVAILABLE', `The tag ${tag} is moved by others all the while: try again`);
}
