import type {HostedRequest} from '../../../oci/hosted-request.ts';
import {OciError} from '../../../oci/error.ts';
import {sendHeld} from '../../http/held.ts';
import {matchesEtag} from '../../http/range.ts';
import {removeBlob} from '../remove.ts';
import type {HostedAsked} from './asked.ts';
import {commonHead, contentHead} from './head.ts';
import type {HostedParts} from './parts.ts';

type AskedBlob = HostedAsked<Extract<HostedRequest, {kind: 'blob'}>>;

const BLOB_TYPE = 'application/octet-stream';
/** Whoever may read it today may not tomorrow, and a blob can be deleted: asked again, and answered with 304. */
const REVALIDATE = 'no-cache';

/** GET and HEAD of a blob (end-2). */
export async function answerBlob(parts: HostedParts, asked: AskedBlob): Promise<void> {
  const {driver} = parts;
  const {req, res, request, caller, exchange} = asked;
  const {repository, digest} = request;
  // A push that finds the blob here does not send it: it relies on it, and collection must know.
  const isThere =
    req.method === 'HEAD' && caller.may('push', repository)
      ? await driver.metadata.claim(repository, digest, caller.identity)
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
    await sendHeld(parts, {req, res, exchange, digest, head}, blob, () => driver.content.verify(blob));
  } finally {
    blob.close();
  }
}

/** DELETE of a blob (end-10). */
export async function deleteBlob({driver, rules}: HostedParts, {res, request, exchange}: AskedBlob): Promise<void> {
  await removeBlob(driver, rules, request.repository, request.digest);
  exchange.result = 'hit';
  res.writeHead(202, {...commonHead(request), 'content-length': 0}).end();
}
