import {digestOf, splitDigest, type Digest} from '../../oci/digest.ts';
import {OciError} from '../../oci/error.ts';
import type {Caller} from '../access/caller.ts';
import type {Driver, LetGo, ManifestRecord, TagMove} from './contract.ts';
import {readManifestBody, type Descriptor, type ManifestBody} from './manifest-body.ts';

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
  /** Whether any tag can be so. */
  anyImmutable(): boolean;
  now(): number;
}

/** A tag that others move all the while is given up after so many. */
const MAX_MOVES = 100;
/** How often a manifest is put anew that somebody deletes meanwhile. */
const MAX_PUTS = 100;
const MAX_HOLDERS = 100;

/**
 * Puts a manifest and its tags: when it resolves, all is durable. What the manifest refers to is held before and let go
 * of after, so that collection never removes it in between.
 * @throws {OciError} MANIFEST_INVALID, MANIFEST_BLOB_UNKNOWN, DIGEST_INVALID, DENIED for an immutable tag.
 */
export async function pushManifest(driver: Driver, rules: PushRules, push: ManifestPush): Promise<ManifestRecord> {
  const {bytes, repository} = push;
  const digest = digestOf(bytes, push.digest === undefined ? 'sha256' : splitDigest(push.digest).algorithm);
  if (push.digest !== undefined && push.digest !== digest)
    throw new OciError('DIGEST_INVALID', `The manifest has the digest ${digest}`);
  const body = readManifestBody(bytes, push.contentType);
  await refuseImmutable(driver, rules, push, digest);
  const relied = new Map<Digest, LetGo>();
  let letGo: LetGo | undefined;
  try {
    const manifests = await relyOnAll(driver, push, body, relied);
    const isNew = (await driver.metadata.manifest(repository, digest)) === undefined;
    letGo = await driver.content.put(digest, bytes);
    const record: ManifestRecord = {
      digest,
      mediaType: body.mediaType,
      sizeBytes: bytes.length,
      children: [...relied.keys(), ...manifests],
      subject: body.subject,
      artifactType: body.artifactType,
      pushedAt: rules.now(),
    };
    await putWithTags(driver, rules, push, record);
    await refuseGone(driver, repository, manifests);
    await driver.metadata.settle(repository, push.caller.identity, {digests: [...relied.keys()], isNew});
    return record;
  } finally {
    // Of a manifest that was refused, what was sent before stays claimed: it may come again with what was missing.
    letGo?.();
    for (const leave of relied.values()) leave();
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

/** What an index lists may have been removed since it was found there. @throws {OciError} MANIFEST_BLOB_UNKNOWN */
async function refuseGone({metadata}: Driver, repository: string, manifests: readonly Digest[]): Promise<void> {
  for (const digest of manifests)
    if ((await metadata.manifest(repository, digest)) === undefined)
      throw new OciError('MANIFEST_BLOB_UNKNOWN', `Somebody has removed ${digest} meanwhile: push it again`);
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

/**
 * What a manifest needs is there and stays, or is taken from where the caller may read it.
 * @returns manifests that it lists. @throws {OciError} MANIFEST_BLOB_UNKNOWN, MANIFEST_INVALID
 */
async function relyOnAll(
  driver: Driver,
  push: ManifestPush,
  body: ManifestBody,
  relied: Map<Digest, LetGo>,
): Promise<readonly Digest[]> {
  const {metadata} = driver;
  const manifests = new Set<Digest>();
  const missing: Digest[] = [];
  for (const listed of body.manifests) {
    const record = await metadata.manifest(push.repository, listed.digest);
    if (record === undefined) {
      if (!listed.isForeign) missing.push(listed.digest);
      continue;
    }
    checkSize(listed, record.sizeBytes);
    manifests.add(listed.digest);
  }
  for (const blob of body.blobs) {
    if (relied.has(blob.digest)) continue;
    const letGo = await relyOnBlob(driver, push, blob);
    if (letGo !== undefined) relied.set(blob.digest, letGo);
    else if (!blob.isForeign) missing.push(blob.digest);
  }
  const [first] = missing;
  if (first === undefined) return [...manifests];
  const more = missing.length === 1 ? '' : ` and ${missing.length - 1} more`;
  throw new OciError('MANIFEST_BLOB_UNKNOWN', `The repository does not have ${first}${more}: push it first`);
}

async function relyOnBlob(driver: Driver, push: ManifestPush, blob: Descriptor): Promise<LetGo | undefined> {
  const {metadata, content} = driver;
  const {repository} = push;
  const {digest} = blob;
  let letGo = await metadata.rely(repository, digest);
  if (letGo === undefined && (await mountAny(driver, push, digest))) letGo = await metadata.rely(repository, digest);
  try {
    const sizeBytes = letGo && (await content.stat(digest));
    if (sizeBytes !== undefined) checkSize(blob, sizeBytes);
    else letGo?.();
    return sizeBytes === undefined ? undefined : letGo;
  } catch (error) {
    letGo?.();
    throw error;
  }
}

/** A client that believes the manifest would refuse the blob. */
function checkSize({digest, size}: Descriptor, sizeBytes: number): void {
  if (size !== sizeBytes)
    throw new OciError('MANIFEST_INVALID', `The manifest says ${size} bytes of ${digest}, which has ${sizeBytes}`);
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
      await metadata.addLink(repository, digest, caller.identity);
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
