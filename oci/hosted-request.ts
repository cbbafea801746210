import {isDigest, type Algorithm, type Digest} from './digest.ts';
import {OciError} from './error.ts';
import {isRepository, isTag} from './reference.ts';
import {digestIn, splitTarget} from './request.ts';

/** Which part of a list is wanted. */
export interface PageAsk {
  /** As asked, at most `MAX_PAGE`; `undefined` if nothing was said. */
  readonly n: number | undefined;
  /** Only what comes after it in ASCII order; empty: from the beginning. It need not exist. */
  readonly last: string;
}

/** A request to a registry of our own, parsed once. Which methods there are for it is the handler's business. */
export type HostedRequest =
  | {readonly kind: 'ping'}
  | {readonly kind: 'catalog'; readonly page: PageAsk}
  | ({readonly repository: string; /** Whom the client thinks we are a mirror of. */ readonly ns?: string} & (
      | {readonly kind: 'blob'; readonly digest: Digest}
      /** `tags`: to be put with it (end-7b). */
      | {readonly kind: 'manifest'; readonly digest: Digest; readonly tags: readonly string[]}
      | {readonly kind: 'tag'; readonly tag: string}
      | {readonly kind: 'tags'; readonly page: PageAsk}
      | {
          readonly kind: 'referrers';
          readonly digest: Digest;
          readonly artifactType: string | undefined;
          readonly page: PageAsk;
        }
      | UploadStart
      | {readonly kind: 'upload'; readonly id: string; readonly digest: Digest | undefined}
    ));

/** What begins an upload, ends it at once, or makes it unnecessary (end-4, end-11). */
export interface UploadStart {
  readonly kind: 'uploads';
  /** The body is the whole blob (end-4b). */
  readonly digest: Digest | undefined;
  readonly algorithm: Algorithm | undefined;
  /** What is no digest or no name mounts nothing. */
  readonly mount: Digest | undefined;
  readonly from: string | undefined;
}

/** Lists are answered in pages of this many at most (D-100). */
export const MAX_PAGE = 1_000;
/** Tags that one manifest may be put under at once (end-7b): a URL holds no more of the longest ones. */
const MAX_TAGS = 32;
const UPLOADS = /^(.+)\/blobs\/uploads(?:\/([A-Za-z0-9_-]{1,128})?)?$/;
/** From the right-hand end, greedy: a name may hold components called `blobs` or `tags`. */
const ENDPOINT = /^(.+)\/(?:(blobs|manifests|referrers)\/([^/]+)|(tags\/list))$/;

/**
 * Reads a request target as it came, as one to a registry of our own. `undefined` for a path that is not of the API (404).
 * @throws {OciError} NAME_INVALID, DIGEST_INVALID, MANIFEST_UNKNOWN, TAG_INVALID, PAGINATION_NUMBER_INVALID.
 */
export function parseHostedRequest(target: string): HostedRequest | undefined {
  const {path, query} = splitTarget(target);
  if (path === '/v2/' || path === '/v2') return {kind: 'ping'};
  if (path === '/v2/_catalog') return {kind: 'catalog', page: pageAsk(query)};
  const rest = path.startsWith('/v2/') ? path.slice(4) : '';
  const [, uploadsOf, id] = UPLOADS.exec(rest) ?? [];
  if (uploadsOf !== undefined) {
    const name = nameIn(uploadsOf, query);
    return id === undefined
      ? {...name, ...uploadStart(query)}
      : {...name, kind: 'upload', id, digest: digestParameter(query, 'digest')};
  }
  const [, full, kind, reference = '', tags] = ENDPOINT.exec(rest) ?? [];
  if (full === undefined) return undefined;
  const name = nameIn(full, query);
  if (tags !== undefined) return {...name, kind: 'tags', page: pageAsk(query)};
  if (kind === 'blobs') return {...name, kind: 'blob', digest: digestIn(reference)};
  if (kind === 'referrers') {
    const artifactType = query.get('artifactType') || undefined;
    return {...name, kind, digest: digestIn(reference), artifactType, page: pageAsk(query)};
  }
  if (reference.includes(':')) return {...name, kind: 'manifest', digest: digestIn(reference), tags: tagsIn(query)};
  // P-27: 404 to who reads, for no manifest can have this tag.
  if (!isTag(reference)) throw new OciError('MANIFEST_UNKNOWN', 'No manifest can have this tag: it is not one');
  return {...name, kind: 'tag', tag: reference};
}

function nameIn(repository: string, query: URLSearchParams): {readonly repository: string; readonly ns?: string} {
  if (!isRepository(repository))
    throw new OciError('NAME_INVALID', 'Not a repository name: lower case, digits and single . _ - between them');
  const [ns, more] = query.getAll('ns').filter((one) => one !== '');
  if (more !== undefined) throw new OciError('NAME_INVALID', 'The parameter ns was given more than once');
  return ns === undefined ? {repository} : {repository, ns};
}

function uploadStart(query: URLSearchParams): UploadStart {
  const algorithm = query.get('digest-algorithm') ?? undefined;
  if (algorithm !== undefined && algorithm !== 'sha256' && algorithm !== 'sha512')
    throw new OciError('DIGEST_INVALID', 'The digest-algorithm is neither sha256 nor sha512');
  const [mount, from] = [query.get('mount') ?? '', query.get('from') ?? undefined];
  return {
    kind: 'uploads',
    digest: digestParameter(query, 'digest'),
    algorithm,
    mount: isDigest(mount) && (from === undefined || isRepository(from)) ? mount : undefined,
    from,
  };
}

function digestParameter(query: URLSearchParams, name: string): Digest | undefined {
  const [text, more] = query.getAll(name);
  if (text === undefined) return undefined;
  if (more !== undefined) throw new OciError('DIGEST_INVALID', `The parameter ${name} was given more than once`);
  return digestIn(text);
}

function tagsIn(query: URLSearchParams): readonly string[] {
  const tags = [...new Set(query.getAll('tag'))];
  if (tags.length > MAX_TAGS) throw new OciError('TAG_INVALID', `More than ${MAX_TAGS} tags in one request`);
  const wrong = tags.find((tag) => !isTag(tag));
  if (wrong !== undefined) throw new OciError('TAG_INVALID', `Not a tag: ${JSON.stringify(wrong.slice(0, 128))}`);
  return tags;
}

function pageAsk(query: URLSearchParams): PageAsk {
  const n = query.get('n') ?? undefined;
  if (n !== undefined && !/^\d+$/.test(n))
    throw new OciError('PAGINATION_NUMBER_INVALID', 'n is not a number of entries');
  return {
    n: n === undefined ? undefined : Math.min(Number(n), MAX_PAGE),
    last: (query.get('last') ?? '').slice(0, 512),
  };
}
