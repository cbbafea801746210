import type {IncomingMessage, OutgoingHttpHeaders, ServerResponse} from 'node:http';
import {OciError} from '../../oci/error.ts';
import type {Log} from '../../proc/log.ts';
import {API_VERSION} from './asked.ts';
import type {Exchange} from './exchange.ts';
import {waitsToSend} from './expect.ts';
import {ClientGone} from './transfer.ts';

/** How long, and how much, is read of a body that nobody wants. */
const UNREAD_MS = 5_000;
const UNREAD_BYTES = 64 << 20;

/**
 * One place where an error becomes a response. After the head only the connection can say it (P-04).
 * @param more headers that the door adds.
 */
export function answerError(
  error: unknown,
  {req, res, exchange}: {req: IncomingMessage; res: ServerResponse; exchange: Exchange},
  log: Log,
  more: OutgoingHttpHeaders = {},
): void {
  if (error instanceof ClientGone || res.destroyed) {
    res.destroy();
    return; // nobody to tell, nothing wrong: what was found is still a hit or a miss
  }
  exchange.result = 'error';
  const known = error instanceof OciError ? error : new OciError('UNKNOWN', 'Internal error', {cause: error});
  exchange.reason = known.message;
  if (known.code === 'UNKNOWN')
    log.error('request failed', {id: exchange.requestId, error: String((error as Error).stack ?? error)});
  if (res.headersSent) {
    exchange.brokenOff = true;
    res.destroy(); // closes short with FIN: a runtime resumes after an unexpected end, never after a reset (P-04)
    return;
  }
  const body = JSON.stringify(known);
  const headers: OutgoingHttpHeaders = {
    ...API_VERSION,
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    ...more,
  };
  if (known.code === 'UNSUPPORTED' && !res.hasHeader('allow')) headers['allow'] = 'GET, HEAD';
  if (known.code === 'UNAVAILABLE') headers['retry-after'] = String(retryAfter(known));
  if (req.method === 'GET' || req.method === 'HEAD')
    res.writeHead(known.status, headers).end(req.method === 'HEAD' ? undefined : body);
  else answerUnread(req, res.writeHead(known.status, {...headers, connection: 'close'}), body);
}

function retryAfter(error: OciError): number {
  const after = (error.cause as {retryAfterMs?: number} | undefined)?.retryAfterMs ?? 5_000;
  return Math.min(3_600, Math.max(1, Math.ceil(after / 1000)));
}

/**
 * The answer while the client may still be sending: it goes out whole, and what comes is read for a moment, for a
 * connection that is closed over unread bytes is reset, and the client reads "broken pipe" in place of it.
 */
function answerUnread(req: IncomingMessage, res: ServerResponse, body: string): void {
  if (req.complete || req.destroyed || waitsToSend(req)) return void res.end(body);
  res.write(body);
  let unread = 0;
  const end = (): void => {
    clearTimeout(timer);
    res.end();
  };
  const timer = setTimeout(end, UNREAD_MS);
  req.on('data', (chunk: Buffer) => {
    if ((unread += chunk.length) > UNREAD_BYTES) end();
  });
  req.once('end', end);
  req.once('close', end);
  req.once('error', end);
}
