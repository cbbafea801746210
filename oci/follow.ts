import {UpstreamError} from './error.ts';
import type {Guard, Reach} from './guard.ts';
import {discard, headerOf, type HttpReply} from './http-reply.ts';
import type {Exchange, Transport} from './transport.ts';

const MAX_HOPS = 10;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
/** What another origin never gets (P-19, D-123). */
const PRIVATE_HEADERS = new Set(['authorization', 'cookie', 'proxy-authorization', 'noost-hop']);

export interface Followed {
  readonly reply: HttpReply;
  /** Whether it is another origin that answered: storage, a CDN. */
  readonly moved: boolean;
  readonly url: URL;
}

/**
 * Sends a request and follows redirects by hand (P-19, C-050): each hop is checked by the guard, another origin gets
 * neither credentials nor anything that only we send, and no signed URL is kept.
 * @param reach of hops to other origins; asked once the first has answered, whose address decides it.
 * @throws {UpstreamError}
 */
export async function follow(
  transport: Transport,
  first: Exchange,
  reach: () => Reach,
  registry: string,
): Promise<Followed> {
  let exchange = first;
  let moved = false;
  for (let hop = 0; hop <= MAX_HOPS; hop++) {
    const reply = await transport.send(exchange);
    const location = headerOf(reply, 'location');
    if (!REDIRECTS.has(reply.status) || location === undefined) return {reply, moved, url: exchange.url};
    discard(reply);
    const url = targetOf(exchange.url, location, registry);
    if (url.origin !== exchange.url.origin) moved = true;
    exchange = {...exchange, url, ...(moved ? abroad(first, url, reach()) : {})};
  }
  throw new UpstreamError('protocol', registry, `${registry} redirects more than ${MAX_HOPS} times`);
}

/** Addresses that hops of an upstream may lead to: public ones, its own kind, and private ones where allowed (D-014). */
export function reachFrom(
  guard: Guard,
  origin: URL,
  configured: boolean,
  options: {allowPrivate: boolean; where: Reach['where']},
): Reach {
  const own = configured ? guard.classOf(origin) : undefined;
  const classes = new Set<'public' | 'private' | 'loopback'>(['public']);
  if (options.allowPrivate) classes.add('private');
  if (own !== undefined && own !== 'forbidden') classes.add(own);
  return {where: options.where, anywhere: false, classes: [...classes]};
}

function abroad(first: Exchange, url: URL, reach: Reach): Pick<Exchange, 'headers' | 'reach' | 'own'> {
  const headers = Object.fromEntries(Object.entries(first.headers).filter(([name]) => !PRIVATE_HEADERS.has(name)));
  return {headers, reach, own: first.own && url.hostname === first.url.hostname};
}

/** Relative and unescaped Locations are common (C-038, C-050). */
function targetOf(from: URL, location: string, registry: string): URL {
  const target = URL.canParse(location, from.href) ? new URL(location, from.href) : undefined;
  const isDowngrade = from.protocol === 'https:' && target?.protocol !== 'https:';
  const isWeb = target?.protocol === 'https:' || target?.protocol === 'http:';
  if (target === undefined || !isWeb || isDowngrade || target.username !== '' || target.password !== '')
    throw new UpstreamError('refused', registry, `redirect refused: ${registry} redirects to where we do not follow`);
  target.hash = '';
  return target;
}
