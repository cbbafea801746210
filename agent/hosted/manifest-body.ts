import {readManifest} from '../../oci/descriptor.ts';
import {isDigest, type Digest} from '../../oci/digest.ts';
import {OciError} from '../../oci/error.ts';
import {bareType, isSchema1, OCI_MANIFEST} from '../../oci/media-type.ts';

/** What a manifest that is pushed says of itself. */
export interface PushedManifest {
  readonly mediaType: string;
  /** Manifests that must be there. */
  readonly manifests: readonly Digest[];
  /** Blobs that must be there. */
  readonly blobs: readonly Digest[];
  /** What it refers to and registries need not have (C-059): kept where it is there. */
  readonly optional: readonly Digest[];
  readonly subject: Digest | undefined;
  /** As lists of referrers tell it. */
  readonly artifactType: string | undefined;
}

/** Types that say nothing. */
const GENERIC = new Set(['', 'application/json', 'application/octet-stream', 'text/plain']);

/** @throws {OciError} MANIFEST_INVALID with what is wrong. */
export function readPushed(bytes: Buffer, contentType: string | undefined): PushedManifest {
  try {
    const {mediaType: said, manifests, blobs} = readManifest(bytes, contentType);
    const body = JSON.parse(bytes.toString('utf8')) as Record<string, unknown>; // read a moment ago
    const header = bareType(contentType);
    const own = typeof body['mediaType'] === 'string' ? body['mediaType'] : undefined;
    if (own !== undefined && !GENERIC.has(header) && bareType(own) !== header)
      throw new SyntaxError(`Content-Type is ${header}, and mediaType is another`);
    const mediaType = own === undefined && !GENERIC.has(header) ? header : said;
    if (isSchema1(mediaType))
      throw new SyntaxError('Docker schema 1 is not taken any more: push it as schema 2 or OCI');
    return {
      mediaType,
      manifests: unique(manifests),
      blobs: unique(blobs),
      optional: foreign(body),
      subject: subjectOf(body['subject']),
      artifactType: artifactTypeOf(body, mediaType),
    };
  } catch (error) {
    if (error instanceof SyntaxError) throw new OciError('MANIFEST_INVALID', error.message, {cause: error});
    throw error;
  }
}

/** All annotations of a manifest that was taken, as lists of referrers show them. */
export function annotationsOf(bytes: Buffer): Readonly<Record<string, string>> | undefined {
  const {annotations} = JSON.parse(bytes.toString('utf8')) as {annotations?: unknown};
  if (!isObject(annotations)) return undefined;
  const texts = Object.entries(annotations).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return texts.length === 0 ? undefined : Object.fromEntries(texts);
}

function unique(descriptors: readonly {readonly digest: Digest}[]): readonly Digest[] {
  return [...new Set(descriptors.map(({digest}) => digest))];
}

function foreign(body: Record<string, unknown>): readonly Digest[] {
  const entries = [body['config'], body['layers'], body['manifests'], body['blobs']].flat();
  const digests = entries.filter(isObject).filter(({urls}) => Array.isArray(urls) && urls.length > 0);
  return digests.map(({digest}) => digest).filter((one): one is Digest => typeof one === 'string' && isDigest(one));
}

function subjectOf(subject: unknown): Digest | undefined {
  if (subject === undefined || subject === null) return undefined;
  const digest = isObject(subject) ? subject['digest'] : undefined;
  if (typeof digest !== 'string' || !isDigest(digest)) throw new SyntaxError('subject has no sha256 or sha512 digest');
  return digest;
}

function artifactTypeOf(body: Record<string, unknown>, mediaType: string): string | undefined {
  const {artifactType, config} = body;
  if (typeof artifactType === 'string' && artifactType !== '') return artifactType;
  const own = isObject(config) && mediaType === OCI_MANIFEST ? config['mediaType'] : undefined;
  return typeof own === 'string' && own !== '' ? own : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
