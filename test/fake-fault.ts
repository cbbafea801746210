import {setTimeout as delay} from 'node:timers/promises';
import type {ServerResponse} from 'node:http';

/**
 * A way for an answer to be wrong. Each says what a real registry, CDN or middlebox was seen to do
 * (cache-peers.md §7, protocol C and D). `after` and `at` count bytes of the body.
 */
export type Fault =
  | {
      readonly kind: 'status';
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body?: string;
    }
  | {readonly kind: 'reset'} // RST before any byte
  | {readonly kind: 'close'} // FIN before any byte
  | {readonly kind: 'hang'} // the request is read and never answered
  | {readonly kind: 'stall'; readonly after?: number} // headers and some bytes, then nothing
  | {readonly kind: 'slow'; readonly bytesPerSecond: number}
  | {readonly kind: 'drip'; readonly everyMs: number; readonly chunkBytes: number}
  | {readonly kind: 'truncate'; readonly after: number; readonly how?: 'fin' | 'rst'}
  | {readonly kind: 'corrupt'; readonly at?: number} // one byte differs
  | {readonly kind: 'wrongLength'; readonly by: number} // Content-Length is off by this, then FIN
  | {readonly kind: 'noLength'} // chunked
  | {readonly kind: 'empty'} // 200, Content-Length 0
  | {readonly kind: 'html'} // a login page with 200
  | {readonly kind: 'ignoreRange'}
  | {readonly kind: 'wrongRange'} // 206 that begins one byte later than asked
  | {readonly kind: 'expired'} // what S3 says of a signed URL that is too old
  | {readonly kind: 'gzip'} // says Content-Encoding: gzip of bytes that are the blob's own (C-053)
  | {readonly kind: 'noDigest'} // no Docker-Content-Digest
  | {readonly kind: 'headRefused'; readonly status?: number} // HEAD only (C-056)
  | {readonly kind: 'huge'; readonly bytes: number} // a body of this many bytes, no Content-Length
  | {readonly kind: 'header'; readonly headers: Readonly<Record<string, string>>}; // added or replaced

/** An answer before a fault has shaped it. */
export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

const CHUNK_BYTES = 1 << 18;

/** Sends `reply` as `fault` would have it. Never rejects: a client that leaves is not an error here. */
export async function sendFaulty(
  reply: Reply,
  fault: Fault | undefined,
  head: boolean,
  res: ServerResponse,
): Promise<void> {
  try {
    if (fault?.kind === 'hang') return;
    if (fault?.kind === 'reset' || fault?.kind === 'close') return cut(res, fault.kind === 'reset' ? 'rst' : 'fin');
    const shaped = shape(reply, fault, head);
    res.writeHead(shaped.status, shaped.headers);
    if (head) return void res.end();
    await sendBody(shaped.body, fault, res);
  } catch {
    res.destroy();
  }
}

function shape(reply: Reply, fault: Fault | undefined, head: boolean): Reply {
  const {status, headers, body} = reply;
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- the other faults shape the sending, below
  switch (fault?.kind) {
    case 'status':
      return text(
        fault.status,
        fault.headers?.['content-type'] ?? 'application/json',
        fault.body ?? errorBody(fault.status),
        fault.headers,
      );
    case 'html':
      return text(200, 'text/html', '<html><body>Please log in</body></html>');
    case 'expired':
      return text(
        403,
        'application/xml',
        '<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>',
      );
    case 'empty':
      return {status, headers: {...headers, 'content-length': '0'}, body: Buffer.alloc(0)};
    case 'headRefused':
      return head ? text(fault.status ?? 405, 'application/json', errorBody(fault.status ?? 405)) : reply;
    case 'huge':
      return {status, headers: without(headers, 'content-length'), body: Buffer.alloc(fault.bytes, 'x')};
    case 'noLength':
      return {status, headers: without(headers, 'content-length'), body};
    case 'noDigest':
      return {status, headers: without(headers, 'docker-content-digest'), body};
    case 'gzip':
      return {status, headers: {...headers, 'content-encoding': 'gzip'}, body};
    case 'header':
      return {status, headers: {...headers, ...fault.headers}, body};
    case 'wrongLength':
      return {status, headers: {...headers, 'content-length': String(body.length + fault.by)}, body};
    case 'corrupt': {
      const wrong = Buffer.from(body);
      const at = fault.at ?? body.length >> 1;
      wrong[at] = (wrong[at] ?? 0) ^ 0xff;
      return {status, headers, body: wrong};
    }
    default:
      return reply;
  }
}

async function sendBody(body: Buffer, fault: Fault | undefined, res: ServerResponse): Promise<void> {
  const end = fault?.kind === 'truncate' ? fault.after : fault?.kind === 'stall' ? (fault.after ?? 0) : body.length;
  const pace = paceOf(fault);
  for (let at = 0; at < end && !res.destroyed; at += pace.bytes) {
    const more = res.write(body.subarray(at, Math.min(end, at + pace.bytes)));
    if (!more) await drained(res);
    if (pace.ms > 0) await delay(pace.ms);
  }
  if (fault?.kind === 'stall') {
    res.flushHeaders();
    return;
  }
  if (fault?.kind === 'truncate') return flushThenCut(res, fault.how ?? 'fin');
  if (fault?.kind === 'wrongLength' && fault.by > 0) return flushThenCut(res, 'fin');
  res.end();
}

/** `drain`, or the client left. */
function drained(res: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      res.off('drain', done).off('close', done);
      resolve();
    };
    res.on('drain', done).on('close', done);
  });
}

function paceOf(fault: Fault | undefined): {readonly bytes: number; readonly ms: number} {
  if (fault?.kind === 'drip') return {bytes: fault.chunkBytes, ms: fault.everyMs};
  if (fault?.kind === 'slow') return {bytes: Math.max(1, Math.ceil(fault.bytesPerSecond / 20)), ms: 50};
  return {bytes: CHUNK_BYTES, ms: 0};
}

/** An empty write calls back when what was written before has left for the kernel. */
function flushThenCut(res: ServerResponse, how: 'fin' | 'rst'): void {
  res.flushHeaders();
  res.write('', () => setTimeout(() => cut(res, how), how === 'rst' ? 50 : 0));
}

function cut(res: ServerResponse, how: 'fin' | 'rst'): void {
  const socket = res.socket;
  if (how === 'rst' && socket && 'resetAndDestroy' in socket && !('stream' in res)) socket.resetAndDestroy();
  else if ('stream' in res)
    (res as unknown as {stream: {close(code: number): void}}).stream.close(how === 'rst' ? 2 : 8); // HTTP/2
  else socket?.destroy();
}

function text(status: number, type: string, body: string, headers: Readonly<Record<string, string>> = {}): Reply {
  const bytes = Buffer.from(body);
  return {status, headers: {'content-type': type, 'content-length': String(bytes.length), ...headers}, body: bytes};
}

function errorBody(status: number): string {
  const code = status === 429 ? 'TOOMANYREQUESTS' : status === 404 ? 'NAME_UNKNOWN' : 'UNKNOWN';
  return JSON.stringify({errors: [{code, message: `fake ${status}`}]});
}

function without(headers: Readonly<Record<string, string>>, name: string): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([key]) => key !== name));
}
