import type {OutgoingHttpHeaders} from 'node:http';
import type {Pull} from '../../oci/request.ts';
import {API_VERSION, type Asked, type RegistryParts} from './asked.ts';

/** GET of a list of tags or of referrers (end-8, end-12). */
export async function answerPage(
  {puller}: RegistryParts,
  asked: Asked<Pull & {readonly kind: 'tags' | 'referrers'}>,
): Promise<void> {
  const {pull, caller, signal, res, req, exchange} = asked;
  const digest = pull.kind === 'referrers' ? pull.digest : undefined;
  const {page, state, reason} = await puller.pages.get({name: pull.name, digest, query: pull.query}, caller, signal);
  exchange.result = state;
  exchange.staleBecause = reason;
  if (state === 'miss') exchange.source = 'upstream';
  const headers: OutgoingHttpHeaders = {
    ...API_VERSION,
    'content-type': page.mediaType,
    'content-length': page.bytes.length,
    'cache-control': 'no-cache',
    'noost-cache': state,
  };
  if (pull.named === 'ns') headers['oci-namespace'] = pull.name.registry;
  if (page.nextQuery !== undefined) headers['link'] = `<${nextUrl(pull, page.nextQuery)}>; rel="next"`;
  if (page.filtersApplied !== undefined) headers['oci-filters-applied'] = page.filtersApplied;
  if (reason !== undefined) headers['warning'] = `299 - "stale: not confirmed by the upstream (${reason})"`;
  res.writeHead(200, headers);
  if (req.method === 'HEAD') return void res.end();
  exchange.sent(page.bytes.length);
  res.end(page.bytes);
}

/** The upstream's cursor as it is, on our own path and with the client's `ns` (A-027, B-021). */
function nextUrl({base, named, name}: {base: string; named: string; name: {registry: string}}, query: string): string {
  const out = new URLSearchParams(query);
  out.delete('ns');
  if (named === 'ns') out.set('ns', name.registry);
  return `${base}?${out.toString()}`;
}
