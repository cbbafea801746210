import {createServer, type RequestListener, type Server} from 'node:http';

/** Go clients keep connections for 30 to 120 s: they, not we, should close an idle one (P-28). */
const KEEP_ALIVE_MS = 150_000;
const HEADERS_MS = 10_000;
/** A request without a body has arrived in this time; pushes get a listener of their own. */
const REQUEST_MS = 30_000;
const MAX_CONNECTIONS = 4_096;
/** Long enough for any name and the headers that clients send (D-032). */
const MAX_HEADER_BYTES = 32 << 10;

/** A server for clients on the node: one strict parser, bounded in connections, headers and time (D-035, D-038). */
export function newServer(handle: RequestListener): Server {
  const server = createServer(
    {
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
      maxHeaderSize: MAX_HEADER_BYTES,
      connectionsCheckingInterval: 5_000,
      insecureHTTPParser: false,
      noDelay: true,
    },
    handle,
  );
  server.maxConnections = MAX_CONNECTIONS;
  server.on('clientError', (_error, socket) => {
    if (socket.writable && !socket.destroyed)
      socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    else socket.destroy();
  });
  return server;
}
