import {OciError} from '../../oci/error.ts';
import {parseHostedRequest, type HostedRequest} from '../../oci/hosted-request.ts';
import {parseNamePattern} from '../../oci/name-pattern.ts';
import {parseRegistry} from '../../oci/reference.ts';
import {parseRequest, splitTarget, type Pull} from '../../oci/request.ts';

/** Which names are ours. */
export interface OurNames {
  /** How clients name this registry; `undefined`: only by its address. */
  readonly host: string | undefined;
  has(repository: string): boolean;
}

export function newOurNames({
  host,
  names,
}: {
  readonly host: string | undefined;
  readonly names: readonly string[];
}): OurNames {
  const patterns = names.map(parseNamePattern);
  return {host, has: (repository) => patterns.some(({matches}) => matches(repository))};
}

/** Where a request to a direct listener leads: to what is hosted here, or to an upstream. Never to both (design §3). */
export type Route =
  | {readonly to: 'hosted'; readonly request: HostedRequest}
  | {readonly to: 'upstream'; readonly pull: Pull};

interface Where {
  readonly names: OurNames;
  readonly defaultRegistry: string | undefined;
}

/**
 * Decides by the name alone, so that what is missing here is missing and never looked for elsewhere, nor the reverse:
 * an `ns` of somebody else names an upstream; every name that `hosted.names` has is ours, and one with our own host in `ns`
 * or before it is ours or nobody's.
 * @throws {OciError} also UNSUPPORTED, for writing to an upstream.
 */
export function routeDirect(method: string, target: string, {names, defaultRegistry}: Where): Route {
  const named = namedAs(target, names.host);
  if (named.by === 'others') return toUpstream(method, target, {names, defaultRegistry});
  let request: HostedRequest | undefined;
  try {
    request = parseHostedRequest(named.target);
  } catch (error) {
    // `host:5000/name` is a name of an upstream only. What is a name of neither is told as one of ours.
    if (named.by === 'us' || !(error instanceof OciError) || error.code !== 'NAME_INVALID') throw error;
    return upstreamOr(error, method, target, {names, defaultRegistry});
  }
  if (request === undefined) throw new OciError('NAME_UNKNOWN', 'No such endpoint of the distribution API');
  if (!('repository' in request) || names.has(request.repository)) return {to: 'hosted', request};
  if (named.by === 'nobody') return toUpstream(method, target, {names, defaultRegistry});
  throw new OciError('NAME_UNKNOWN', 'This registry has no such repositories: the name is not one of hosted.names');
}

function upstreamOr(error: OciError, method: string, target: string, where: Where): Route {
  try {
    return toUpstream(method, target, where);
  } catch (other) {
    throw other instanceof OciError && other.code === 'UNSUPPORTED' && /^\/v2\/[^/]*:/.test(target) ? other : error;
  }
}

function toUpstream(method: string, target: string, {names, defaultRegistry}: Where): Route {
  if (method !== 'GET' && method !== 'HEAD')
    throw new OciError('UNSUPPORTED', 'This name is not one of hosted.names: images of upstreams are read-only here');
  const request = parseRequest(target, {defaultRegistry});
  if (request === undefined || request.kind === 'ping')
    throw new OciError('NAME_UNKNOWN', 'No such endpoint of the distribution API');
  // In whatever spelling: we are no upstream of ourselves, and nobody else is us.
  if (request.name.registry === names.host)
    throw new OciError('NAME_UNKNOWN', 'This registry has no such repositories: the name is not one of hosted.names');
  return {to: 'upstream', pull: request};
}

/** Whose the name says it is; with our own host taken out of the path. */
function namedAs(target: string, host: string | undefined): {by: 'us' | 'others' | 'nobody'; target: string} {
  const {path, query} = splitTarget(target);
  const spaces = query.getAll('ns').filter((ns) => ns !== '');
  const ours = host !== undefined && spaces.length === 1 && isHost(spaces[0] ?? '', host);
  if (spaces.length > 0 && !ours) return {by: 'others', target};
  if (ours || host === undefined) return {by: ours ? 'us' : 'nobody', target};
  const [prefix, first = ''] = /^\/v2\/(?:f\/)?([^/]+)\//.exec(path) ?? [];
  if (prefix === undefined || !isHost(first, host)) return {by: 'nobody', target};
  const mark = target.indexOf('?');
  return {by: 'us', target: `/v2/${path.slice(prefix.length)}${mark === -1 ? '' : target.slice(mark)}`};
}

function isHost(text: string, host: string): boolean {
  try {
    return parseRegistry(text) === host;
  } catch {
    return false;
  }
}

/** What a runtime asks of our own host, as a request to what is hosted here. */
export function toHostedRequest(pull: Pull): HostedRequest {
  const common = {repository: pull.name.repository, ...(pull.named === 'ns' ? {ns: pull.name.registry} : {})};
  switch (pull.kind) {
    case 'blob':
      return {...common, kind: 'blob', digest: pull.digest};
    case 'manifest':
      return {...common, kind: 'manifest', digest: pull.digest, tags: []};
    case 'tag':
      return {...common, kind: 'tag', tag: pull.tag};
    case 'tags':
    case 'referrers': {
      // Read again, for upstreams take their own parameters and we take ours. The name has been validated.
      const suffix = pull.kind === 'tags' ? 'tags/list' : `referrers/${pull.digest}`;
      const request = parseHostedRequest(`/v2/${pull.name.repository}/${suffix}?${pull.query}`);
      if (request === undefined) throw new OciError('NAME_UNKNOWN', 'No such endpoint of the distribution API');
      return {...request, ...common} as HostedRequest; // a list of the same repository
    }
  }
}
