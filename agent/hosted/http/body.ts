import type {IncomingMessage} from 'node:http';
import {OciError} from '../../../oci/error.ts';
import {askForBody} from '../../http/expect.ts';
import {ClientGone} from '../../http/transfer.ts';
import {chunkReceived} from '../../young.ts';

/** So much of all bodies waits for the disk, and of each so much at the least and at the most; more waits in the client. */
const ALL_WAITING_BYTES = 32 << 20;
const LEAST_WAITING_BYTES = 256 << 10;
/** Larger ones than this only drive what was received out of the processor's caches before it is written. */
const MOST_WAITING_BYTES = 1 << 20;

/** Bodies that are being read. */
let reading = 0;

function waitingBytes(): number {
  return Math.max(LEAST_WAITING_BYTES, Math.min(MOST_WAITING_BYTES, ALL_WAITING_BYTES / reading));
}

/**
 * Hands over a request's body as it comes, in as large pieces as have come meanwhile: memory is bounded, and neither a
 * slow disk nor a slow client holds up the other more than it must.
 * @param take resolves when the pieces may be forgotten.
 * @throws {ClientGone} if the client leaves, and what `take` and `signal` throw.
 */
export async function readBody(
  req: IncomingMessage,
  take: (chunks: readonly Buffer[]) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  askForBody(req);
  let waiting: Buffer[] = [];
  let bytes = 0;
  let ended = req.complete && req.readableLength === 0;
  let moved = Promise.withResolvers<void>();
  const wake = (): void => moved.resolve();
  const onData = (chunk: Buffer): void => {
    chunkReceived(chunk.length);
    waiting.push(chunk);
    bytes += chunk.length;
    if (bytes >= waitingBytes()) req.pause();
    wake();
  };
  const onEnd = (): void => {
    ended = true;
    wake();
  };
  req.on('data', onData).on('end', onEnd).on('close', wake).on('error', wake);
  signal?.addEventListener('abort', wake);
  reading++;
  try {
    for (;;) {
      signal?.throwIfAborted();
      if (waiting.length > 0) {
        const chunks = waiting;
        waiting = [];
        bytes = 0;
        req.resume();
        await take(chunks);
      } else if (ended) {
        return;
      } else if (req.destroyed || req.errored !== null) {
        throw new ClientGone('The client left in the middle of a body');
      } else {
        await moved.promise;
        moved = Promise.withResolvers<void>();
      }
    }
  } finally {
    reading--;
    req.off('data', onData).off('end', onEnd).off('close', wake).off('error', wake);
    signal?.removeEventListener('abort', wake);
  }
}

/** All of a body that must be small. @throws {OciError} SIZE_EXCEEDED, before more than that was read. */
export async function readSmallBody(req: IncomingMessage, maxBytes: number, what: string): Promise<Buffer> {
  refuseLarge(req, maxBytes, what);
  const chunks: Buffer[] = [];
  let bytes = 0;
  await readBody(req, (some) => {
    for (const chunk of some) bytes += chunk.length;
    if (bytes > maxBytes) throw tooLarge(maxBytes, what);
    chunks.push(...some);
    return Promise.resolve();
  });
  return Buffer.concat(chunks);
}

/** By what the client announces. @throws {OciError} SIZE_EXCEEDED. */
export function refuseLarge(req: IncomingMessage, maxBytes: number, what: string): void {
  if (Number(req.headers['content-length'] ?? 0) > maxBytes) throw tooLarge(maxBytes, what);
}

export function tooLarge(maxBytes: number, what: string): OciError {
  return new OciError('SIZE_EXCEEDED', `The ${what} is larger than the ${maxBytes} bytes that are taken here`);
}
