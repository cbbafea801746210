import type {Digest} from '../../oci/digest.ts';
import {isDigest} from '../../oci/digest.ts';
import type {ContentKind} from './contract.ts';

/** What a blob's own bytes say of it. */
export interface Nature {
  readonly kind: ContentKind;
  readonly mediaType: string | undefined;
  readonly children: readonly Digest[];
}

/** Larger ones are no manifests (D-032). */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
const MAX_CHILDREN = 10_000;

const BLOB: Nature = {kind: 'blob', mediaType: undefined, children: []};
const MEDIA_TYPE = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$/i;

/**
 * Tells by trial whether bytes found on disk are a manifest: for a file whose index row is lost. Only eviction and
 * listing depend on it; whether and as what it is served, a link decides.
 */
export function natureOf(bytes: Buffer): Nature {
  if (bytes.length > MAX_MANIFEST_BYTES || bytes[0] !== 0x7b) return BLOB;
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString('utf8'));
  } catch {
    return BLOB;
  }
  const fields = new Map(Object.entries(json as object)); // it begins with a brace
  const isIndex = Array.isArray(fields.get('manifests'));
  if (!isIndex && !(Array.isArray(fields.get('layers')) && digestIn(fields.get('config')) !== undefined)) return BLOB;
  return {
    kind: 'manifest',
    mediaType: mediaTypeOf(fields.get('mediaType'), isIndex),
    children: [fields.get('config'), ...listOf(fields.get('layers')), ...listOf(fields.get('manifests'))]
      .slice(0, MAX_CHILDREN)
      .map(digestIn)
      .filter((digest) => digest !== undefined),
  };
}

function mediaTypeOf(text: unknown, isIndex: boolean): string {
  if (typeof text === 'string' && MEDIA_TYPE.test(text)) return text;
  // Only OCI leaves it out; docker's schema 2 must say it.
  return `application/vnd.oci.image.${isIndex ? 'index' : 'manifest'}.v1+json`;
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function digestIn(descriptor: unknown): Digest | undefined {
  const digest = (descriptor as {digest?: unknown} | null | undefined)?.digest; // any JSON value
  return typeof digest === 'string' && isDigest(digest) ? digest : undefined;
}
