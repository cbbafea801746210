import {read} from 'node:fs';
import {promisify} from 'node:util';
import type {Followed} from '../pull/followed.ts';
import type {Through} from '../pull/through.ts';
import type {Asked} from './asked.ts';
import type {Sender} from './send.ts';

const readAsync = promisify(read);
const READ_BYTES = 256 << 10;

/**
 * A growing file of unknown length as chunks. The closing chunk is sent only when the whole was right.
 * @throws what the flight failed with.
 */
export async function sendGrowing(sender: Sender, {res, exchange, signal}: Asked, file: Followed): Promise<void> {
  for (let at = 0; ;) {
    signal.throwIfAborted();
    const length = Math.min(READ_BYTES, file.readableBytes - at);
    if (length > 0) {
      const {bytesRead, buffer} = await readAsync(file.fd, Buffer.allocUnsafe(length), 0, length, at);
      at += bytesRead;
      await sender.write(res, buffer.subarray(0, bytesRead));
      exchange.sent(bytesRead);
    } else if (file.whole) {
      res.end();
      return;
    } else {
      if (file.failure !== undefined) throw file.failure;
      await file.moved();
    }
  }
}

/**
 * Part of a blob that passes through. Its last byte waits until all of the blob was right, also when it is not
 * the blob's last (design §1.3).
 * @param end exclusive; `undefined` for all of a blob of unknown size.
 */
export async function sendThrough(
  sender: Sender,
  {res, exchange}: Asked,
  through: Through,
  start: number,
  end: number | undefined,
): Promise<void> {
  let at = 0;
  let held: Uint8Array | undefined;
  res.flushHeaders(); // now: the first byte may be long in coming (P-01)
  for await (const chunk of through.bytes()) {
    const from = Math.max(0, start - at);
    const to = end === undefined ? chunk.length : Math.min(chunk.length, end - at);
    at += chunk.length;
    if (to <= from) continue;
    const ends = end !== undefined && at >= end;
    const piece = chunk.subarray(from, ends ? to - 1 : to);
    if (ends) held = chunk.subarray(to - 1, to);
    if (piece.length > 0) await sender.write(res, piece);
    exchange.sent(piece.length);
  }
  if (held === undefined) return;
  await sender.write(res, held);
  exchange.sent(held.length);
}
