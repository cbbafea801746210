import type {HostedRequest} from '../../../oci/hosted-request.ts';
import {OciError} from '../../../oci/error.ts';
import {parseRange, matchesEtag} from '../../http/range.ts';
import {verifiedSpan, wholeSpan} from '../../http/span.ts';
import type {OpenBlob} from '../../store/contract.ts';
import {removeBlob} from '../remove.ts';
import type {HostedAsked} from './asked.ts';
import {commonHead, contentHead} from './head.ts';
import type {HostedParts} from './parts.ts';

type AskedBlob = HostedAsked<Extract<HostedRequest, {kind: 'blob'}>>;

const BLOB_TYPE = 'application/octet-stream';
/** Whoever may read it today may not tomorrow, and a blob can be deleted: asked again, and answered with 304. */
const REVALIDATE = 'no-cache';

/** GET and HEAD of a blob (end-2). */
export async function answerBlob({driver, sender, repeats}: HostedParts, asked: AskedBlob): Promise<void> {
  const {req, res, request, caller, exchange} = asked;
  const {repository, digest} = request;
  // A push that finds the blob here does not send it: it relies on it, and collection must know.
  const isThere =
    req.method === 'HEAD' && caller.may('push', repository)
      ? await driver.metadata.claim(repository, digest)
      : await driver.metadata.hasLink(repository, digest);
  const blob = isThere ? await driver.content.open(digest) : undefined;
  if (blob === undefined) throw new OciError('BLOB_UNKNOWN', 'There is no such blob in this repository');
  try {
    exchange.result = 'hit';
    const head = {
      ...contentHead(request, digest, BLOB_TYPE),
      'accept-ranges': 'bytes',
      'cache-control': REVALIDATE,
    };
    if (matchesEtag(req.headers['if-none-match'], digest)) return void res.writeHead(304, head).end();
    if (req.method === 'HEAD') return void res.writeHead(200, {...head, 'content-length': blob.sizeBytes}).end();
    const span = writeBlobHead(asked, blob, head);
    if (span === undefined) return;
    const {start, end} = span;
    const isWhole = start === 0 && end === blob.sizeBytes;
    const client = `${exchange.address ?? ''} ${req.headers['user-agent'] ?? ''}`;
    const verify = isWhole && repeats.suspects(client, digest);
    const sent = verify
      ? verifiedSpan(blob.fd, start, end, driver.content.verify(blob))
      : wholeSpan(blob.fd, start, end);
    const interrupted = await sender.send(res, sent, (bytes) => {
      exchange.sent(bytes);
    });
    if (interrupted !== undefined) throw interrupted.failure;
    res.end();
    if (isWhole) repeats.completed(client, digest, verify);
  } finally {
    blob.close();
  }
}

/** @returns what of it follows; `undefined`: nothing does. */
function writeBlobHead(
  {req, res, exchange, request}: AskedBlob,
  {sizeBytes}: OpenBlob,
  head: ReturnType<typeof contentHead>,
): {readonly start: number; readonly end: number} | undefined {
  const ifRange = req.headers['if-range'];
  const applies = ifRange === undefined || matchesEtag(String(ifRange), request.digest);
  const range = parseRange(applies ? req.headers.range : undefined, sizeBytes);
  if (range.kind === 'unsatisfiable') {
    exchange.reason = 'range';
    res.writeHead(416, {...head, 'content-range': `bytes */${sizeBytes}`, 'content-length': 0}).end();
    return undefined;
  }
  if (range.kind === 'part') {
    const {start, end} = range;
    const part = {'content-range': `bytes ${start}-${end - 1}/${sizeBytes}`, 'content-length': end - start};
    res.writeHead(206, {...head, ...part});
    return {start, end};
  }
  res.writeHead(200, {...head, 'content-length': sizeBytes});
  if (sizeBytes > 0) return {start: 0, end: sizeBytes};
  res.end();
  return undefined;
}

/** DELETE of a blob (end-10). */
export async function deleteBlob({driver, rules}: HostedParts, {res, request, exchange}: AskedBlob): Promise<void> {
  await removeBlob(driver, rules, request.repository, request.digest);
  exchange.result = 'hit';
  res.writeHead(202, {...commonHead(request), 'content-length': 0}).end();
}
