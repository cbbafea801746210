import type {OutgoingHttpHeaders} from 'node:http';
import {OciError} from '../../oci/error.ts';
import type {Pull} from '../../oci/request.ts';
import type {BlobContent} from '../pull/blobs.ts';
import type {Followed} from '../pull/followed.ts';
import type {Through} from '../pull/through.ts';
import {StoreFullError} from '../store/contract.ts';
import type {Asked, RegistryParts} from './asked.ts';
import {contentHead} from './head.ts';
import {sendHeld, writeBlobHead, clientOf, type BlobAnswer} from './held.ts';
import {matchesEtag} from './range.ts';
import {sendGrowing, sendThrough} from './stream.ts';
import {followedSpan} from './span.ts';

type AskedBlob = Asked<Pull & {readonly kind: 'blob'}>;
type Content<From extends BlobContent['from']> = Extract<BlobContent, {readonly from: From}>;

/** A blob never changes under its digest, and registries do not know its type better. */
const BLOB_TYPE = 'application/octet-stream';
const FOREVER = 'max-age=31536000';

/** GET and HEAD of a blob (end-2). Everything thrown before the head is written becomes an error's answer. */
export async function answerBlob(parts: RegistryParts, asked: AskedBlob): Promise<void> {
  const {pull, caller, signal} = asked;
  if (asked.req.method === 'HEAD') return answerHead(parts, asked);
  const content = await parts.puller.blobs.open(pull.name, pull.digest, caller, signal);
  try {
    if (matchesEtag(asked.req.headers['if-none-match'], pull.digest)) return notModified(asked);
    switch (content.from) {
      case 'cache':
        return await sendCached(parts, asked, content);
      case 'flight':
        return await sendFlight(parts, asked, content);
      case 'through':
        return await sendPassing(parts, asked, content);
    }
  } finally {
    release(content);
  }
}

async function answerHead(parts: RegistryParts, asked: AskedBlob): Promise<void> {
  const {res, req, pull, exchange} = asked;
  const head = await parts.puller.blobs.head(pull.name, pull.digest, asked.caller, asked.signal);
  exchange.result = head.hit ? 'hit' : 'miss';
  if (matchesEtag(req.headers['if-none-match'], pull.digest)) return notModified(asked);
  const headers = blobHead(asked);
  if (head.sizeBytes !== undefined) headers['content-length'] = head.sizeBytes;
  res.writeHead(200, headers).end();
}

async function sendCached(parts: RegistryParts, asked: AskedBlob, {blob}: Content<'cache'>): Promise<void> {
  asked.exchange.result = 'hit';
  await sendHeld(parts, blobAnswer(asked), blob, () => parts.puller.verify(blob, asked.pull.name));
}

async function sendFlight(parts: RegistryParts, asked: AskedBlob, content: Content<'flight'>): Promise<void> {
  const {res, exchange, pull} = asked;
  const {file, flight} = content;
  exchange.result = content.joined ? 'coalesced' : 'miss';
  exchange.source = 'upstream';
  const oldClient = asked.req.httpVersion === '1.0';
  // What claims to be empty is checked first; so is what an HTTP/1.0 client could not see the end of (design §4.3).
  if (content.doubted) await flight.succeeded(asked.signal);
  else if (file.sizeBytes === 0 || (file.sizeBytes === undefined && oldClient)) await untilWhole(file);
  const sizeBytes = file.sizeBytes;
  if (sizeBytes === undefined) {
    writeUnsized(asked);
    await sendGrowing(parts.sender, asked, file);
    return;
  }
  const part = writeBlobHead(blobAnswer(asked), sizeBytes);
  if (part === undefined) return;
  const {start, end} = part;
  const interrupted = await parts.sender.send(res, followedSpan(file, start, end), (bytes, sound, at) => {
    if (!sound) parts.repeats.doubt(pull.digest, at, bytes);
    exchange.sent(bytes);
  });
  if (interrupted !== undefined) {
    if (!(interrupted.failure instanceof StoreFullError)) throw interrupted.failure;
    // The disk filled up on the way: this client goes on from the upstream, on its own.
    const prefix = {fd: file.fd, bytes: file.readableBytes, early: file.early};
    const through = await parts.puller.blobs.continueThrough(flight, prefix, asked.signal);
    await passOn(parts, asked, through, interrupted.at, end);
    return;
  }
  res.end();
  parts.repeats.arrived(pull.digest);
  if (start === 0 && end === sizeBytes) parts.repeats.completed(clientOf(asked), pull.digest);
}

async function sendPassing(parts: RegistryParts, asked: AskedBlob, {through, why}: Content<'through'>): Promise<void> {
  const {exchange} = asked;
  exchange.result = 'bypass';
  exchange.source = 'upstream';
  exchange.reason = why;
  parts.metrics.bypasses.inc({reason: why});
  const {sizeBytes} = through;
  if (sizeBytes === undefined) {
    if (asked.req.httpVersion === '1.0')
      throw new OciError(
        'UNAVAILABLE',
        'The upstream does not say the length of this blob, and HTTP/1.0 cannot do without',
      );
    writeUnsized(asked);
    return passOn(parts, asked, through, 0, undefined);
  }
  if (sizeBytes === 0) for await (const _ of through.bytes()); // throws unless the empty blob is what was asked for
  const part = writeBlobHead(blobAnswer(asked), sizeBytes);
  if (part === undefined) return;
  const {start, end} = part;
  return passOn(parts, asked, through, start, end);
}

async function passOn(
  parts: RegistryParts,
  asked: AskedBlob,
  through: Through,
  start: number,
  end: number | undefined,
): Promise<void> {
  try {
    await sendThrough(parts.sender, asked, through, start, end);
    asked.res.end();
  } finally {
    through.close();
  }
}

async function untilWhole(file: Followed): Promise<void> {
  while (!file.whole) {
    if (file.failure !== undefined) throw file.failure;
    await file.moved();
  }
}

function blobAnswer(asked: AskedBlob): BlobAnswer {
  const {req, res, exchange, pull} = asked;
  return {req, res, exchange, digest: pull.digest, head: blobHead(asked)};
}

/** Without a length the body is chunked, and its closing chunk is what is withheld. A range cannot be told (C-054). */
function writeUnsized(asked: AskedBlob): void {
  asked.res.writeHead(200, blobHead(asked));
  asked.res.flushHeaders();
}

function blobHead({pull, exchange}: AskedBlob): OutgoingHttpHeaders {
  return {
    ...contentHead(pull, pull.digest, BLOB_TYPE),
    'accept-ranges': 'bytes',
    'cache-control': FOREVER,
    'noost-cache': exchange.result,
  };
}

function notModified({res, pull, exchange}: AskedBlob): void {
  exchange.result = 'hit';
  res.writeHead(304, {...contentHead(pull, pull.digest, BLOB_TYPE), 'cache-control': FOREVER}).end();
}

function release(content: BlobContent): void {
  switch (content.from) {
    case 'cache':
      content.blob.close();
      break;
    case 'flight':
      content.leave();
      break;
    case 'through':
      content.through.close();
  }
}
