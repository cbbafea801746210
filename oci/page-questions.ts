import type {Digest} from './digest.ts';
import type {Endpoint} from './endpoint.ts';
import type {Answer} from './endpoint-options.ts';
import {UpstreamError} from './error.ts';
import {headerOf, readBody, type HttpReply} from './http-reply.ts';
import {bareType, OCI_INDEX} from './media-type.ts';
import type {AskOptions, Page, RepositoryName} from './source.ts';

/** Tags lists are short strings, but some repositories have tens of thousands. */
const MAX_PAGE = 8 * 1024 * 1024;
const MAX_QUERY = 4096;
/** Of all Link headers together. */
const MAX_LINK = 16_384;

export function listTags(endpoint: Endpoint, name: RepositoryName, query: string, options: AskOptions): Promise<Page> {
  return ask(endpoint, name, {path: 'tags/list', query, accept: 'application/json', list: 'tags'}, options);
}

export function listReferrers(
  endpoint: Endpoint,
  name: RepositoryName,
  digest: Digest,
  query: string,
  options: AskOptions,
): Promise<Page> {
  return ask(endpoint, name, {path: `referrers/${digest}`, query, accept: OCI_INDEX, list: 'manifests'}, options);
}

interface Listing {
  readonly path: string;
  readonly query: string;
  readonly accept: string;
  /** The member of the body that makes it what was asked for. */
  readonly list: 'tags' | 'manifests';
}

function ask(endpoint: Endpoint, name: RepositoryName, listing: Listing, options: AskOptions): Promise<Page> {
  const {path, query, accept} = listing;
  const question = {name, method: 'GET' as const, path, query, headers: {accept}, small: true};
  return endpoint.ask(question, options, (answer) => read(answer, listing, endpoint.options.registry));
}

async function read({reply, authority}: Answer, {path, list}: Listing, registry: string): Promise<Page> {
  const bytes = await readBody(reply, MAX_PAGE, registry);
  if (!hasList(bytes, list))
    throw new UpstreamError('protocol', registry, `${registry} sent no ${list} for ${path.split('/')[0]}`);
  const filters = headerOf(reply, 'oci-filters-applied');
  return {
    bytes,
    mediaType: bareType(headerOf(reply, 'content-type')) || 'application/json',
    nextQuery: nextQuery(reply),
    filtersApplied:
      filters !== undefined && /^[A-Za-z]{1,64}(?:, ?[A-Za-z]{1,64}){0,8}$/.test(filters) ? filters : undefined,
    authority,
  };
}

/** Tags may be null where there are none. */
function hasList(bytes: Buffer, list: string): boolean {
  try {
    const body: unknown = JSON.parse(bytes.toString());
    if (typeof body !== 'object' || body === null || !(list in body)) return false;
    const value = (body as Record<string, unknown>)[list];
    return Array.isArray(value) || (value === null && list === 'tags');
  } catch {
    return false;
  }
}

/**
 * Only the query of `rel="next"`, which is opaque: the next page is asked of the same endpoint and
 * path, wherever the link points (GHSA-h7vf).
 */
function nextQuery(reply: HttpReply): string | undefined {
  const all = reply.headers['link'];
  const text = typeof all === 'string' ? all : (all ?? []).join(', ');
  if (text.length > MAX_LINK) return undefined;
  for (const [, target = '', params = ''] of text.matchAll(/<([^<>]*)>([^,<]*)/g)) {
    if (!params.split(';').some(isNext)) continue;
    const url = URL.canParse(target, 'https://registry.invalid')
      ? new URL(target, 'https://registry.invalid')
      : undefined;
    if (url && url.search.length > 1 && url.search.length <= MAX_QUERY) return url.search.slice(1);
  }
  return undefined;
}

/** `rel=next`, quoted or not, alone or among others. Without a pattern that a hostile header could make slow. */
function isNext(param: string): boolean {
  const equals = param.indexOf('=');
  if (param.slice(0, Math.max(0, equals)).trim().toLowerCase() !== 'rel') return false;
  const words = param.slice(equals + 1).replaceAll('"', ' ');
  return words.toLowerCase().split(/\s+/).includes('next');
}
