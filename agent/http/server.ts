import {createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse} from 'node:http';
import {createServer as createTlsServer, type Server as TlsServer} from 'node:https';
import type {Socket} from 'node:net';
import {shareFairly} from './fair-share.ts';
import {answerOn, closeIdle} from './idle.ts';
import {Progress} from './progress.ts';

/** Go clients keep connections for 30 to 120 s: they, not we, should close an idle one (P-28). */
const KEEP_ALIVE_MS = 150_000;
const HEADERS_MS = 10_000;
/** A request without a body has arrived in this time; pushes have a server of their own. */
const REQUEST_MS = 30_000;
const MAX_CONNECTIONS = 4_096;
/** Long enough for any name and the headers that clients send (D-032). */
const MAX_HEADER_BYTES = 32 << 10;

const LIMITS = {
  headersTimeout: HEADERS_MS,
  requestTimeout: REQUEST_MS,
  maxHeaderSize: MAX_HEADER_BYTES,
  connectionsCheckingInterval: 5_000,
  insecureHTTPParser: false,
  noDelay: true,
} as const;

/** A server for clients on the node: one strict parser, bounded in connections, headers and time (D-035, D-038). */
export function newServer(handle: RequestListener, keepAliveMs = KEEP_ALIVE_MS): Server {
  // Nearly all requests have no body: one that cannot come is not waited for by four events (docs/performance.md).
  const server = createServer({...LIMITS, keepAliveTimeout: 0, optimizeEmptyRequests: true}, handle);
  closeIdle(server, keepAliveMs);
  return bounded(server);
}

/** A certificate with its key, as PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** The oldest that current clients need. */
const MIN_TLS = 'TLSv1.2';

/**
 * A server for clients from anywhere, who may push: a request may take hours, as long as it gets ahead (P-28). Bodies are
 * not asked for before the handler says so.
 */
export function newPushServer(handle: RequestListener, keyPair: KeyPair | undefined): Server | TlsServer {
  const limits = {...LIMITS, keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0};
  const tls = {...keyPair, minVersion: MIN_TLS, handshakeTimeout: HEADERS_MS} as const;
  const server = keyPair === undefined ? createServer(limits) : createTlsServer({...limits, ...tls});
  const progress = new Progress();
  const watched = inTurn((req, res) => {
    if (isAmbiguous(req)) return void res.writeHead(400, {connection: 'close', 'content-length': 0}).end();
    progress.watch(req);
    handle(req, res);
  });
  server.on('request', watched);
  server.on('checkContinue', watched);
  shareFairly(server, MAX_CONNECTIONS);
  return bounded(server);
}

/** Requests of a connection that wait for the answer before theirs, some 2 KiB each. Who sends more reads no answers. */
const MAX_WAITING = 1_000;

/**
 * One request of a connection at a time: who sends the next before the answer, the chunk after a chunk or the end of an
 * upload, means them in this order.
 */
function inTurn(handle: RequestListener): RequestListener {
  const lines = new WeakMap<Socket, {last: ServerResponse; waiting: number}>();
  return (req, res) => {
    const {socket} = req;
    const line = lines.get(socket) ?? {last: res, waiting: 0};
    const before = line.last;
    line.last = res;
    lines.set(socket, line);
    if (before === res || before.closed) return handle(req, res);
    if (++line.waiting > MAX_WAITING) return void socket.destroy();
    before.once('close', () => {
      line.waiting--;
      if (!socket.destroyed) handle(req, res);
    });
  };
}

/**
 * What another server before us may have read otherwise (RFC 9112 §3.2, §6.1): Node takes the first of several hosts, and a
 * body in codings that nobody undoes.
 */
function isAmbiguous({rawHeaders, headers, httpVersion}: IncomingMessage): boolean {
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && (coding.toLowerCase() !== 'chunked' || httpVersion === '1.0')) return true;
  let hosts = 0;
  for (let i = 0; i < rawHeaders.length; i += 2) if (rawHeaders[i]?.toLowerCase() === 'host') hosts++;
  return hosts > 1;
}

/** Never 408: runtimes would send the whole request again (P-03). */
function statusLineFor({code}: NodeJS.ErrnoException): string {
  return code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : '400 Bad Request';
}

function bounded<S extends Server | TlsServer>(server: S): S {
  server.maxConnections = MAX_CONNECTIONS;
  server.on('clientError', (error, socket) => {
    // In the middle of an answer these words would be bytes of a blob.
    if (socket.writable && !socket.destroyed && answerOn(socket)?.headersSent !== true)
      socket.end(`HTTP/1.1 ${statusLineFor(error)}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    else socket.destroy();
  });
  return server;
}
