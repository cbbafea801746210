import type {IncomingMessage} from 'node:http';
import {KubeError} from './error.ts';

/**
 * The whole body. The connection is broken off if it is too large, breaks or the signal ends.
 * @throws {KubeError} TooLarge or Unreachable; or the signal's reason.
 */
export async function readBounded(response: IncomingMessage, maxBytes: number, signal: AbortSignal): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > maxBytes)
        throw new KubeError(0, 'TooLarge', `The API server's answer is larger than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw broken(error);
  }
  return Buffer.concat(chunks, bytes);
}

export function broken(error: unknown): KubeError {
  if (error instanceof KubeError) return error;
  return new KubeError(0, 'Unreachable', `The API server broke off its answer: ${(error as Error).message}`, {
    cause: error,
  });
}
