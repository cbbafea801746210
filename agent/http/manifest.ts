import type {OutgoingHttpHeaders, ServerResponse} from 'node:http';
import type {Digest} from '../../oci/digest.ts';
import type {Pull} from '../../oci/request.ts';
import type {ManifestContent} from '../pull/manifests.ts';
import type {Resolved} from '../pull/tags.ts';
import type {Asked, RegistryParts} from './asked.ts';
import {contentHead} from './head.ts';
import {prepareHead, type PreparedHead, writePrepared} from './prepared.ts';
import {matchesEtag} from './range.ts';

type AskedManifest = Asked<Pull & {readonly kind: 'manifest' | 'tag'}>;

/** Tags may move at any time; what stands under a digest may not. */
const CACHE_CONTROL = {tag: 'no-cache', manifest: 'max-age=31536000'} as const;

/**
 * Answers from memory, in one go, if everything needed is there: the way of nearly all requests.
 * @returns whether it did.
 */
export function answerWarmManifest({puller}: RegistryParts, asked: Omit<Asked, 'signal'>): boolean {
  const {pull, caller, exchange} = asked;
  if (pull.kind !== 'tag' && pull.kind !== 'manifest') return false;
  const resolved = pull.kind === 'tag' ? puller.tags.peek(pull.name, pull.tag, caller.authority) : undefined;
  const digest = pull.kind === 'tag' ? resolved?.digest : pull.digest;
  if (digest === undefined) return false;
  const content = puller.manifests.peek(pull.name, digest, caller.authority);
  if (content === undefined) return false;
  exchange.result = 'hit';
  puller.touch(digest);
  if (matchesEtag(asked.req.headers['if-none-match'], digest)) notModified({...asked, pull}, digest, content.mediaType);
  else {
    writePrepared(asked.res, warmHead(pull, content));
    sendBody(asked, content);
  }
  return true;
}

/** Heads of warm answers, by the parsed request, which the listener keeps for requests that repeat. */
const warmHeads = new WeakMap<Pull, {readonly content: ManifestContent; readonly head: PreparedHead}>();

function warmHead(pull: AskedManifest['pull'], content: ManifestContent): PreparedHead {
  const known = warmHeads.get(pull);
  if (known?.content === content) return known.head;
  const fields = headOf(pull, content.digest, content.mediaType, content.bytes.length, 'hit', undefined);
  const head = prepareHead({...fields, 'content-length': content.bytes.length});
  warmHeads.set(pull, {content, head});
  return head;
}

/** GET and HEAD of a manifest by tag or digest (end-3). */
export async function answerManifest({puller}: RegistryParts, asked: AskedManifest): Promise<void> {
  const {req, pull, caller, signal, exchange} = asked;
  const wantsBody = req.method === 'GET';
  let resolved: Resolved | undefined;
  if (pull.kind === 'tag') {
    resolved = await puller.tags.resolve(pull.name, pull.tag, caller, wantsBody ? 'body' : 'head', signal);
    puller.touch(resolved.digest);
    exchange.result = resolved.state;
    exchange.staleBecause = resolved.reason;
    if (!wantsBody) return respondHead(asked, resolved);
  }
  const digest = pull.kind === 'tag' ? (resolved as Resolved).digest : pull.digest; // set just above
  const content = await puller.manifests.get(pull.name, digest, caller, signal);
  if (resolved === undefined) exchange.result = content.from === 'cache' ? 'hit' : 'miss';
  if (content.from === 'upstream' || resolved?.fetched === true) exchange.source = 'upstream';
  puller.touch(digest);
  respond(asked, content, resolved);
}

/** A tag's HEAD: what the upstream said of it is enough (P-05). */
function respondHead(asked: AskedManifest, resolved: Resolved): void {
  const {res, req, pull} = asked;
  if (matchesEtag(req.headers['if-none-match'], resolved.digest))
    return notModified(asked, resolved.digest, resolved.mediaType);
  res
    .writeHead(
      200,
      headOf(pull, resolved.digest, resolved.mediaType, resolved.sizeBytes, asked.exchange.result, resolved),
    )
    .end();
}

function respond(asked: Omit<AskedManifest, 'signal'>, content: ManifestContent, resolved: Resolved | undefined): void {
  const {req, pull, exchange} = asked;
  if (matchesEtag(req.headers['if-none-match'], content.digest))
    return notModified(asked, content.digest, content.mediaType);
  const head = headOf(pull, content.digest, content.mediaType, content.bytes.length, exchange.result, resolved);
  asked.res.writeHead(200, head);
  sendBody(asked, content);
}

function sendBody({req, res, exchange}: Omit<Asked, 'signal'>, {bytes, text}: ManifestContent): void {
  if (req.method === 'HEAD') {
    res.end();
    return;
  }
  exchange.sent(bytes.length);
  if (text === undefined) res.end(bytes);
  else res.end(text, 'latin1'); // one write with the head, where a buffer takes a vector of two
}

function headOf(
  pull: AskedManifest['pull'],
  digest: Digest,
  mediaType: string,
  sizeBytes: number,
  result: string,
  resolved: Resolved | undefined,
): OutgoingHttpHeaders {
  const head = contentHead(pull, digest, mediaType);
  head['content-length'] = sizeBytes;
  head['cache-control'] = CACHE_CONTROL[pull.kind];
  head['noost-cache'] = result;
  if (resolved?.state === 'stale') {
    head['age'] = String(Math.round(resolved.ageMs / 1000));
    head['warning'] = `299 - "stale: not confirmed by the upstream (${resolved.reason ?? 'unknown'})"`;
  }
  return head;
}

function notModified(
  {res, pull}: {res: ServerResponse; pull: AskedManifest['pull']},
  digest: Digest,
  mediaType: string,
): void {
  const {'content-type': _, ...head} = contentHead(pull, digest, mediaType);
  res.writeHead(304, {...head, 'cache-control': CACHE_CONTROL[pull.kind]}).end();
}
