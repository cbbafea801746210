import type {IncomingMessage} from 'node:http';
import {broken} from './body.ts';
import {errorOfStatus, KubeError} from './error.ts';
import type {KubeObject} from './object.ts';

/** One line of a watch. Of a bookmark only `metadata.resourceVersion` says something. */
export interface WatchEvent<T> {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK';
  readonly object: T;
}

/** etcd takes objects of 1.5 MiB, the API server a little more; escaped as JSON they grow. */
const MAX_LINE = 16 * 1024 * 1024;

/**
 * The events of a watch that has begun. Ends with the stream, and ends the stream when it is left.
 * @throws {KubeError} what an ERROR event says (410: Expired), Silent, TooLarge, Malformed or Unreachable.
 */
export async function* readEvents<T extends KubeObject>(
  response: IncomingMessage,
  maxSilenceMs: number,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent<T>> {
  const silent = new KubeError(0, 'Silent', `Nothing was heard from a watch for ${maxSilenceMs / 1000} s`);
  const timer = setTimeout(() => response.destroy(silent), maxSilenceMs);
  const left = (): void => void response.destroy(signal.reason as Error);
  signal.addEventListener('abort', left, {once: true});
  try {
    signal.throwIfAborted();
    for await (const line of readLines(response, () => timer.refresh())) yield eventOf<T>(line);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw broken(error);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', left);
    response.destroy();
  }
}

async function* readLines(body: IncomingMessage, heard: () => void): AsyncGenerator<string> {
  let parts: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    heard();
    let from = 0;
    for (let end = chunk.indexOf(10, from); end >= 0; end = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, end));
      const line = Buffer.concat(parts).toString('utf8');
      [parts, bytes, from] = [[], 0, end + 1];
      if (line !== '') yield line;
    }
    const rest = chunk.subarray(from);
    bytes += rest.length;
    if (bytes > MAX_LINE) throw new KubeError(0, 'TooLarge', `An event of a watch is larger than ${MAX_LINE} bytes`);
    if (rest.length > 0) parts.push(rest);
  }
}

function eventOf<T extends KubeObject>(line: string): WatchEvent<T> {
  let event: {type?: unknown; object?: unknown};
  try {
    event = JSON.parse(line) as typeof event;
  } catch (error) {
    throw new KubeError(0, 'Malformed', 'An event of a watch is not JSON', {cause: error});
  }
  const {type, object} = event;
  if (type === 'ERROR') {
    const code = Number((object as {code?: unknown} | null)?.code);
    throw errorOfStatus(Number.isInteger(code) ? code : 500, object, 'watch');
  }
  if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED' && type !== 'BOOKMARK')
    throw new KubeError(0, 'Malformed', 'An event of a watch has an unknown type');
  if (typeof object !== 'object' || object === null || typeof (object as KubeObject).metadata !== 'object')
    throw new KubeError(0, 'Malformed', 'An event of a watch has no object');
  return {type, object: object as T};
}
