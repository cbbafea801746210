import {isDigest, type Digest} from '../../oci/digest.ts';
import {OciError} from '../../oci/error.ts';
import {bareType, DOCKER_MANIFEST, isIndex, isSchema1, OCI_INDEX, OCI_MANIFEST} from '../../oci/media-type.ts';
import {isDeeperThan} from '../../proc/json-depth.ts';
import {keysOfObjects, type ObjectKeys} from './json-keys.ts';

/** Something that a manifest refers to. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  /** It may be elsewhere for ever: a layer that must not be distributed. */
  readonly isForeign: boolean;
}

/** What a manifest's bytes say. */
export interface ManifestBody {
  readonly mediaType: string;
  /** Config and layers. */
  readonly blobs: readonly Descriptor[];
  readonly manifests: readonly Descriptor[];
  readonly subject: Digest | undefined;
  /** As lists of referrers tell it. */
  readonly artifactType: string | undefined;
}

const MAX_ENTRIES = 10_000;
/** Deeper JSON is refused: no manifest needs it, and what reads it recursively must not be led into the depth (D-033). */
const MAX_DEPTH = 64;
const FOREIGN = /nondistributable|\.foreign\./;
/** Fields of the outermost object, and of what it refers to, by how readers see them that do not tell cases apart. */
const CRITICAL = foldedNames(
  'schemaVersion mediaType artifactType config layers blobs manifests subject fsLayers annotations',
);
const CRITICAL_BELOW = foldedNames('mediaType digest size urls data artifactType platform annotations');
/** Where descriptors stand. */
const REFERENCES = new Set(['config', 'layers', 'blobs', 'manifests', 'subject']);
/** Types that say nothing. */
const GENERIC = new Set(['', 'application/json', 'application/octet-stream', 'text/plain']);
const IMAGES: readonly string[] = [OCI_MANIFEST, DOCKER_MANIFEST];
type Fields = ReadonlyMap<string, unknown>;

/**
 * Reads a manifest as it is pushed. The bytes stay as they are; what other readers could read otherwise is refused
 * (CVE-2021-41190, D-028, D-033).
 * @param contentType as the client said it. @throws {OciError} MANIFEST_INVALID
 */
export function readManifestBody(bytes: Buffer, contentType: string | undefined): ManifestBody {
  const fields = fieldsOf(bytes);
  const mediaType = mediaTypeOf(fields, contentType);
  const known = IMAGES.includes(mediaType) || isIndex(mediaType);
  const version = fields.get('schemaVersion');
  if (known && version !== undefined && version !== 2) throw invalid('schemaVersion is not 2');
  if (fields.has('fsLayers')) throw invalid('Manifests of schema 1 are not taken: push schema 2 or OCI');
  const parts = {config: fields.get('config'), layers: fields.get('layers'), manifests: fields.get('manifests')};
  if (known) checkShape(parts, isIndex(mediaType));
  const read = known ? descriptorIn : guessIn;
  const list = (name: string): readonly Descriptor[] => listIn(fields.get(name), name, read);
  const config = parts.config === undefined || parts.config === null ? undefined : read(parts.config, 'config');
  const blobs = [...(config === undefined ? [] : [config]), ...list('layers'), ...(known ? [] : list('blobs'))];
  const subject = fields.get('subject');
  const artifactType = fields.get('artifactType');
  if (artifactType !== undefined && typeof artifactType !== 'string') throw invalid('artifactType is no text');
  return {
    mediaType,
    blobs,
    manifests: list('manifests'),
    subject: subject === undefined || subject === null ? undefined : descriptorIn(subject, 'subject')?.digest,
    artifactType: artifactType || (isIndex(mediaType) ? undefined : config?.mediaType) || undefined,
  };
}

function fieldsOf(bytes: Buffer): Fields {
  let [text, json]: [string, unknown] = ['', undefined];
  try {
    text = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(bytes);
    if (!isDeeperThan(MAX_DEPTH, bytes)) json = JSON.parse(text);
  } catch (error) {
    throw invalid('The manifest is no JSON in UTF-8', error);
  }
  if (json === undefined) throw invalid('The manifest is nested too deep');
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw invalid('The manifest is no JSON object');
  keysOfObjects(text).forEach(checkKeys);
  return new Map(Object.entries(json));
}

/** What one reader takes for a key and another does not, or takes twice. */
function checkKeys({depth, under, keys}: ObjectKeys): void {
  const critical = depth === 1 ? CRITICAL : REFERENCES.has(under) ? CRITICAL_BELOW : undefined;
  const seen = new Set<string>();
  for (const key of keys) {
    if (seen.has(key)) throw invalid(`The manifest has ${JSON.stringify(key.slice(0, 128))} more than once`);
    seen.add(key);
    const meant = critical?.get(folded(key)) ?? key;
    if (meant !== key) throw invalid(`The manifest has ${JSON.stringify(key.slice(0, 128))} for ${meant}`);
  }
}

function foldedNames(names: string): ReadonlyMap<string, string> {
  return new Map(names.split(' ').map((name) => [folded(name), name]));
}

/** As Go's JSON compares keys: a long s is an s there, and the sign of kelvin a k. */
function folded(key: string): string {
  return key.toUpperCase().toLowerCase();
}

function mediaTypeOf(fields: Fields, contentType: string | undefined): string {
  const [said, own] = [bareType(contentType), fields.get('mediaType')];
  if (own !== undefined && (typeof own !== 'string' || bareType(own) === ''))
    throw invalid('mediaType is no media type');
  if (said === '' && own === undefined)
    throw invalid('Neither the header Content-Type nor mediaType says what this is');
  if (said !== '' && own !== undefined && said !== own.toLowerCase())
    throw invalid(`The header Content-Type says ${said}, mediaType ${own.slice(0, 255)}`);
  const mediaType = own ?? (GENERIC.has(said) ? typeByShape(fields) : said);
  if (isSchema1(mediaType)) throw invalid('Manifests of schema 1 are not taken: push schema 2 or OCI');
  return mediaType;
}

/** A header that says nothing about a body that says nothing. */
function typeByShape(fields: Fields): string {
  if (fields.has('manifests')) return OCI_INDEX;
  if (fields.has('config') || fields.has('layers')) return OCI_MANIFEST;
  throw invalid('Neither the header Content-Type nor mediaType says what this is');
}

/** What is an image must not look like an index to others, nor the reverse. */
function checkShape(
  {config, layers, manifests}: {readonly config: unknown; readonly layers: unknown; readonly manifests: unknown},
  isList: boolean,
): void {
  const has = (value: unknown): boolean => value !== undefined && value !== null;
  if (isList && (has(config) || has(layers))) throw invalid('An index cannot have config or layers');
  if (isList && manifests === undefined) throw invalid('An index must have manifests');
  if (!isList && has(manifests)) throw invalid('A manifest of an image cannot have manifests');
  if (!isList && !has(config)) throw invalid('A manifest of an image must have a config');
}

function listIn(
  value: unknown,
  name: string,
  read: (value: unknown, name: string) => Descriptor | undefined,
): readonly Descriptor[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) {
    if (read === guessIn) return [];
    throw invalid(`${name} is no list`);
  }
  if (value.length > MAX_ENTRIES) throw invalid(`${name} has more than ${String(MAX_ENTRIES)} entries`);
  return value.map((one: unknown, i) => read(one, `${name}[${String(i)}]`)).filter((one) => one !== undefined);
}

function descriptorIn(value: unknown, name: string): Descriptor {
  if (typeof value !== 'object' || value === null) throw invalid(`${name} is no descriptor`);
  const {mediaType, digest, size, urls} = value as {[key in string]?: unknown}; // any JSON object
  if (typeof mediaType !== 'string' || mediaType === '') throw invalid(`${name}.mediaType is no media type`);
  if (typeof digest !== 'string' || !isDigest(digest)) throw invalid(`${name}.digest is not a sha256 or sha512 digest`);
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) throw invalid(`${name}.size is no size`);
  const isForeign = FOREIGN.test(mediaType) || (Array.isArray(urls) && urls.length > 0);
  return {mediaType, digest, size, isForeign};
}

/** In a manifest of a type that we do not know, what looks like a descriptor is taken for one: it is kept for it. */
function guessIn(value: unknown, name: string): Descriptor | undefined {
  try {
    return descriptorIn(value, name);
  } catch {
    return undefined;
  }
}

/** All annotations of a manifest that was taken, as lists of referrers show them. */
export function annotationsOf(bytes: Buffer): Readonly<Record<string, string>> | undefined {
  const {annotations} = JSON.parse(bytes.toString('utf8')) as {annotations?: unknown}; // an object: it was taken
  if (typeof annotations !== 'object' || annotations === null) return undefined;
  const texts = Object.entries(annotations).filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  return texts.length === 0 ? undefined : Object.fromEntries(texts);
}

function invalid(message: string, cause?: unknown): OciError {
  return new OciError('MANIFEST_INVALID', message, {cause});
}
