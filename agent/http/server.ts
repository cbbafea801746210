import {createServer, type RequestListener, type Server} from 'node:http';
import {createServer as createTlsServer, type Server as TlsServer} from 'node:https';
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
  keepAliveTimeout: KEEP_ALIVE_MS,
  headersTimeout: HEADERS_MS,
  requestTimeout: REQUEST_MS,
  maxHeaderSize: MAX_HEADER_BYTES,
  connectionsCheckingInterval: 5_000,
  insecureHTTPParser: false,
  noDelay: true,
} as const;

/** A server for clients on the node: one strict parser, bounded in connections, headers and time (D-035, D-038). */
export function newServer(handle: RequestListener): Server {
  return bounded(createServer(LIMITS, handle));
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
  const limits = {...LIMITS, requestTimeout: 0};
  const tls = {...keyPair, minVersion: MIN_TLS, handshakeTimeout: HEADERS_MS} as const;
  const server = keyPair === undefined ? createServer(limits) : createTlsServer({...limits, ...tls});
  const progress = new Progress();
  const watched: RequestListener = (req, res) => {
    progress.watch(req);
    handle(req, res);
  };
  server.on('request', watched);
  server.on('checkContinue', watched);
  return bounded(server);
}

function bounded<S extends Server | TlsServer>(server: S): S {
  server.maxConnections = MAX_CONNECTIONS;
  server.on('clientError', (_error, socket) => {
    if (socket.writable && !socket.destroyed)
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    else socket.destroy();
  });
  return server;
}
