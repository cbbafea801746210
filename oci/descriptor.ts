import {isDigest, type Digest} from './digest.ts';
import {bareType, DOCKER_LIST, DOCKER_MANIFEST, isIndex, isSchema1, OCI_INDEX, OCI_MANIFEST} from './media-type.ts';

/** @see https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md */
export interface Descriptor {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly mediaType: string;
  readonly platform: Platform | undefined;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant: string | undefined;
}

/** What a manifest's bytes say. */
export interface Manifest {
  readonly mediaType: string;
  /** Manifests that an index lists; empty for an image. */
  readonly manifests: readonly Descriptor[];
  /** Config and layers of an image, without those that carry `urls` only (C-059); empty for an index. */
  readonly blobs: readonly Descriptor[];
}

/** Above this an index is hostile rather than large (D-033). */
const MAX_ENTRIES = 10_000;
const MAX_DEPTH = 64;

/**
 * Reads a manifest's shape. The bytes stay what they are; this only decides what they may be taken for.
 * @param contentType as the registry sent it; the body's own `mediaType` goes before it.
 * @throws {SyntaxError} if it is no manifest, or could be taken for two kinds (A-071, CVE-2021-41190).
 */
export function readManifest(bytes: Uint8Array, contentType: string | undefined): Manifest {
  const text = new TextDecoder('utf-8', {fatal: false}).decode(bytes);
  if (tooDeep(text)) throw new SyntaxError(`Manifest is nested deeper than ${MAX_DEPTH}`);
  const body: unknown = JSON.parse(text);
  if (!isObject(body)) throw new SyntaxError('Manifest is not a JSON object');
  const mediaType = typeOf(body, bareType(contentType));
  if (isSchema1(mediaType)) return {mediaType, manifests: [], blobs: []};
  const [lists, layered] = ['manifests' in body, 'layers' in body || 'config' in body];
  if ((lists && layered) || (lists && isImageType(mediaType)) || (layered && isIndex(mediaType)))
    throw new SyntaxError('Manifest could be an index and an image at once');
  return {
    mediaType,
    manifests: descriptors(body['manifests']),
    blobs: [
      ...descriptors(body['config'] === undefined ? [] : [body['config']]),
      ...descriptors(body['layers']),
      ...descriptors(body['blobs']),
    ],
  };
}

/** Everything a manifest refers to, once. */
export function childrenOf(manifest: Manifest): Digest[] {
  return [...new Set([...manifest.manifests, ...manifest.blobs].map(({digest}) => digest))];
}

function isImageType(mediaType: string): boolean {
  return mediaType === OCI_MANIFEST || mediaType === DOCKER_MANIFEST;
}

/** The body's word, else a header that is not generic, else the shape. */
function typeOf(body: Record<string, unknown>, header: string): string {
  const own = typeof body['mediaType'] === 'string' ? bareType(body['mediaType']) : '';
  if (own !== '') return own;
  if (header.includes('manifest') || header.includes('index') || header.endsWith('+prettyjws')) return header;
  if (body['schemaVersion'] === 1) return 'application/vnd.docker.distribution.manifest.v1+prettyjws';
  if (Array.isArray(body['manifests']))
    return body['schemaVersion'] === 2 && hasDockerChild(body) ? DOCKER_LIST : OCI_INDEX;
  if (Array.isArray(body['layers']) || isObject(body['config'])) return OCI_MANIFEST;
  throw new SyntaxError('Neither a manifest nor an index');
}

function hasDockerChild(body: Record<string, unknown>): boolean {
  const [first] = body['manifests'] as unknown[]; // an array: the caller asked
  return isObject(first) && first['mediaType'] === DOCKER_MANIFEST;
}

function descriptors(list: unknown): Descriptor[] {
  if (list === undefined || list === null) return [];
  if (!Array.isArray(list)) throw new SyntaxError('Manifest holds something else where a list of descriptors is due');
  if (list.length > MAX_ENTRIES) throw new SyntaxError(`Manifest has more than ${MAX_ENTRIES} entries`);
  return list.filter((entry) => !isForeign(entry)).map(descriptor);
}

/** A layer that lives elsewhere: registries need not have it, and we never fetch `urls` (C-059, D-115). */
function isForeign(entry: unknown): boolean {
  return isObject(entry) && Array.isArray(entry['urls']) && entry['urls'].length > 0;
}

function descriptor(entry: unknown): Descriptor {
  if (!isObject(entry) || typeof entry['digest'] !== 'string' || !isDigest(entry['digest']))
    throw new SyntaxError('Descriptor without a sha256 or sha512 digest');
  const size = entry['size'];
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0)
    throw new SyntaxError('Descriptor with an impossible size');
  const mediaType = typeof entry['mediaType'] === 'string' ? bareType(entry['mediaType']) : '';
  return {digest: entry['digest'], sizeBytes: size, mediaType, platform: platform(entry['platform'])};
}

function platform(value: unknown): Platform | undefined {
  if (!isObject(value) || typeof value['os'] !== 'string' || typeof value['architecture'] !== 'string')
    return undefined;
  const variant = typeof value['variant'] === 'string' ? value['variant'] : undefined;
  return {os: value['os'], architecture: value['architecture'], variant};
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Counts brackets outside strings, before the parser recurses (D-033). */
function tooDeep(text: string): boolean {
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (quoted) {
      if (char === 0x5c) at++;
      else if (char === 0x22) quoted = false;
    } else if (char === 0x22) quoted = true;
    else if (char === 0x7b || char === 0x5b) {
      if (++depth > MAX_DEPTH) return true;
    } else if (char === 0x7d || char === 0x5d) depth--;
  }
  return false;
}
