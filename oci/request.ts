import {isDigest, type Digest} from './digest.ts';
import {OciError} from './error.ts';
import {isTag, looksLikeRegistry, parseRegistry, repositoryAt} from './reference.ts';
import type {RepositoryName} from './source.ts';

/** A request of the distribution API, parsed once: nothing downstream sees raw strings (design §4.1). */
export type OciRequest = {readonly kind: 'ping'} | Pull;

/** Something asked of a repository. `named` says how the upstream was named; `ns` is answered with OCI-Namespace. */
export type Pull = {readonly name: RepositoryName; readonly named: 'ns' | 'path' | 'default'} & (
  | {readonly kind: 'blob'; readonly digest: Digest}
  | {readonly kind: 'manifest'; readonly digest: Digest}
  | {readonly kind: 'tag'; readonly tag: string}
  | {readonly kind: 'tags'; readonly query: string; readonly base: string}
  | {readonly kind: 'referrers'; readonly digest: Digest; readonly query: string; readonly base: string}
);

/** URLs above this are hostile (D-032). */
const MAX_TARGET = 8_192;
/** What may stand percent-encoded in a path: clients encode the colon of digests and ports, and brackets (A-014, D-030). */
const ENCODED: Readonly<Record<string, string>> = {'%3A': ':', '%5B': '[', '%5D': ']', '%2B': '+', '%40': '@'};
/** From the right-hand end, greedy: a name may hold components called `blobs` or `manifests`. */
const ENDPOINT = /^(.+)\/(?:(blobs|manifests|referrers)\/([^/]+)|(tags\/list))$/;

/**
 * Reads a request target as it came. `undefined` for a path that is not of the API (404).
 * @param options.defaultRegistry for names that hold none; `undefined` refuses them.
 * @throws {OciError} NAME_INVALID, DIGEST_INVALID, MANIFEST_UNKNOWN, PAGINATION_NUMBER_INVALID.
 */
export function parseRequest(
  target: string,
  options: {readonly defaultRegistry: string | undefined},
): OciRequest | undefined {
  const {path, query} = splitTarget(target);
  if (path === '/v2/' || path === '/v2') return {kind: 'ping'};
  const [, full, kind, reference = '', tags] = ENDPOINT.exec(path.startsWith('/v2/') ? path.slice(4) : '') ?? [];
  if (full === undefined) return undefined;
  const {name, named} = parseName(full, query, options.defaultRegistry);
  const base = path;
  if (tags !== undefined) return {kind: 'tags', name, named, query: pageQuery(query), base};
  if (kind === 'referrers') return {kind, name, named, digest: digestIn(reference), query: filterQuery(query), base};
  if (kind === 'blobs') return {kind: 'blob', name, named, digest: digestIn(reference)};
  if (reference.includes(':')) return {kind: 'manifest', name, named, digest: digestIn(reference)};
  // P-27: 404, for no manifest can have this tag.
  if (!isTag(reference)) throw new OciError('MANIFEST_UNKNOWN', 'No manifest can have this tag: it is not one');
  return {kind: 'tag', name, named, tag: reference};
}

/**
 * The path and the query of a request target. Decodes the few characters that may be encoded; everything that could
 * change the path's meaning is refused (D-030).
 * @throws {OciError} NAME_INVALID
 */
export function splitTarget(target: string): {readonly path: string; readonly query: URLSearchParams} {
  if (target.length > MAX_TARGET) throw new OciError('NAME_INVALID', 'The request target is longer than 8 KiB');
  const mark = target.indexOf('?');
  return {
    path: decodePath(mark === -1 ? target : target.slice(0, mark)),
    query: new URLSearchParams(mark === -1 ? '' : target.slice(mark + 1)),
  };
}

function decodePath(path: string): string {
  const decoded = path.replace(/%[0-9a-fA-F]{2}/g, (code) => ENCODED[code.toUpperCase()] ?? code);
  if (!/^\/[A-Za-z0-9._~:+@[\]/=-]*$/.test(decoded) || decoded.includes('//') || /\/\.{1,2}(?:\/|$)/.test(decoded))
    throw new OciError('NAME_INVALID', 'The path holds something that no repository, tag or digest can hold');
  return decoded;
}

/** Design §4.1 a, b, c, e. */
function parseName(
  full: string,
  query: URLSearchParams,
  defaultRegistry: string | undefined,
): {name: RepositoryName; named: Pull['named']} {
  const spaces = query.getAll('ns').filter((ns) => ns !== '');
  if (spaces.length > 1) throw new OciError('NAME_INVALID', 'The parameter ns was given more than once');
  try {
    if (spaces[0] !== undefined) return {name: repositoryAt(parseRegistry(spaces[0]), full), named: 'ns'};
    const path = full.startsWith('f/') && looksLikeRegistry(full.split('/', 2)[1] ?? '') ? full.slice(2) : full;
    const slash = path.indexOf('/');
    const first = slash === -1 ? '' : path.slice(0, slash);
    if (looksLikeRegistry(first))
      return {name: repositoryAt(parseRegistry(first), path.slice(slash + 1)), named: 'path'};
    if (defaultRegistry !== undefined) return {name: repositoryAt(defaultRegistry, path), named: 'default'};
  } catch (error) {
    throw new OciError('NAME_INVALID', `Not a name of an upstream's repository: ${(error as Error).message}`, {
      cause: error,
    });
  }
  throw new OciError(
    'NAME_UNKNOWN',
    'The request names no upstream (by ns or in its path), and none is configured as default',
  );
}

/** @throws {OciError} DIGEST_INVALID */
export function digestIn(text: string): Digest {
  if (!isDigest(text)) throw new OciError('DIGEST_INVALID', 'Not a sha256 or sha512 digest');
  return text;
}

/** `n` clipped to what all registries take, `last` as it came: cursors are opaque. */
function pageQuery(query: URLSearchParams): string {
  const out = new URLSearchParams();
  const n = query.get('n');
  if (n !== null) {
    if (!/^\d{1,9}$/.test(n)) throw new OciError('PAGINATION_NUMBER_INVALID', 'n is not a number of tags');
    out.set('n', String(Math.min(Number(n), 1000)));
  }
  for (const [key, value] of query)
    if (key !== 'n' && key !== 'ns' && value.length <= 1024 && out.size < 8) out.set(key, value);
  return out.toString();
}

function filterQuery(query: URLSearchParams): string {
  const out = new URLSearchParams();
  for (const [key, value] of query) if (key !== 'ns' && value.length <= 1024 && out.size < 8) out.append(key, value);
  return out.toString();
}
