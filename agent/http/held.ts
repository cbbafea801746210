import type {IncomingMessage, OutgoingHttpHeaders, ServerResponse} from 'node:http';
import type {Digest} from '../../oci/digest.ts';
import type {OpenBlob} from '../store/contract.ts';
import type {Exchange} from './exchange.ts';
import {matchesEtag, parseRange} from './range.ts';
import type {Repeats} from './repeats.ts';
import type {Sender} from './send.ts';
import {verifiedSpan, wholeSpan} from './span.ts';

/** An answer with a blob, or a part of one. */
export interface BlobAnswer {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly exchange: Exchange;
  readonly digest: Digest;
  /** All of its head but what the range decides. */
  readonly head: OutgoingHttpHeaders;
}

/** Bytes of a blob; the end is exclusive. */
export interface Part {
  readonly start: number;
  readonly end: number;
}

/** Writes the head, by what the client asked for. @returns the bytes that follow; `undefined`: none do, it is ended. */
export function writeBlobHead({req, res, exchange, digest, head}: BlobAnswer, sizeBytes: number): Part | undefined {
  // If-Range that names something else than this blob asks for all of it.
  const ifRange = req.headers['if-range'];
  const applies = ifRange === undefined || matchesEtag(String(ifRange), digest);
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
    return range;
  }
  res.writeHead(200, {...head, 'content-length': sizeBytes});
  if (sizeBytes > 0) return {start: 0, end: sizeBytes};
  res.end();
  return undefined;
}

/** Sends a blob that is on disk. It is hashed again while it leaves if this client has reason to suspect it. */
export async function sendHeld(
  {sender, repeats}: {readonly sender: Sender; readonly repeats: Repeats},
  answer: BlobAnswer,
  blob: OpenBlob,
  verify: () => Promise<boolean>,
): Promise<void> {
  const {res, exchange, digest} = answer;
  const part = writeBlobHead(answer, blob.sizeBytes);
  if (part === undefined) return;
  const {start, end} = part;
  const isWhole = start === 0 && end === blob.sizeBytes;
  const client = clientOf(answer);
  const inMemory = (): Promise<boolean> => sender.inMemory(blob.fd, blob.sizeBytes);
  const isSuspect = isWhole && (await repeats.suspects(client, digest, inMemory));
  const span = isSuspect ? verifiedSpan(blob.fd, start, end, verify()) : wholeSpan(blob.fd, start, end);
  const interrupted = await sender.send(res, span, (bytes, fromMemory) => {
    if (!fromMemory && !isSuspect) repeats.doubt(digest);
    exchange.sent(bytes);
  });
  if (interrupted !== undefined) throw interrupted.failure;
  res.end();
  if (isWhole) repeats.completed(client, digest, isSuspect);
}

/** Tells clients apart as well as can be. */
export function clientOf({req, exchange}: Pick<BlobAnswer, 'req' | 'exchange'>): string {
  return `${exchange.address ?? ''} ${req.headers['user-agent'] ?? ''}`;
}
