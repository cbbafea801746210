import type {IncomingMessage, OutgoingHttpHeaders, ServerResponse} from 'node:http';
import type {Digest} from '../../oci/digest.ts';
import type {OpenBlob} from '../store/contract.ts';
import type {Sums} from '../store/sums.ts';
import type {Exchange} from './exchange.ts';
import {matchesEtag, parseRange} from './range.ts';
import type {Repeats, Suspicion} from './repeats.ts';
import type {Sender} from './send.ts';
import {checkedSpan, type Span, verifiedSpan, wholeSpan} from './span.ts';
import {WrongBytesError} from './transfer.ts';

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

/**
 * Sends a blob that is on disk. What this client has reason to suspect is checked, or hashed again, while it leaves.
 * @param verify hashes the file. @returns the sums of its blocks; `undefined` if it is wrong.
 */
export async function sendHeld(
  {sender, repeats}: {readonly sender: Sender; readonly repeats: Repeats},
  answer: BlobAnswer,
  blob: OpenBlob,
  verify: () => Promise<Sums | undefined>,
): Promise<void> {
  const {res, exchange, digest} = answer;
  const part = writeBlobHead(answer, blob.sizeBytes);
  if (part === undefined) return;
  const isWhole = part.start === 0 && part.end === blob.sizeBytes;
  const client = clientOf(answer);
  const suspicion = isWhole
    ? await repeats.suspicion(client, digest, () => sender.missing(blob.fd, blob.sizeBytes))
    : 'none';
  let watches = suspicion === 'none'; // what is hashed meanwhile need not be doubted; what is read after that must
  const prove = async (): Promise<boolean> => (watches = await repeats.prove(digest, verify));
  try {
    const interrupted = await sender.send(res, spanFor(suspicion, blob, part, prove), (bytes, sound, at) => {
      if (!sound && watches) repeats.doubt(digest, at, bytes);
      exchange.sent(bytes);
    });
    if (interrupted !== undefined) throw interrupted.failure;
  } catch (error) {
    if (error instanceof WrongBytesError) await prove(); // it is put aside before the client asks once more
    throw error;
  }
  res.end();
  if (isWhole) repeats.completed(client, digest);
}

function spanFor(suspicion: Suspicion, {fd, sizeBytes}: OpenBlob, part: Part, prove: () => Promise<boolean>): Span {
  if (suspicion === 'none') return wholeSpan(fd, part.start, part.end);
  if (suspicion === 'hash') return verifiedSpan(fd, part.start, part.end, prove());
  return checkedSpan(fd, sizeBytes, suspicion);
}

/** Tells clients apart as well as can be. */
export function clientOf({req, exchange}: Pick<BlobAnswer, 'req' | 'exchange'>): string {
  return `${exchange.address ?? ''} ${req.headers['user-agent'] ?? ''}`;
}
