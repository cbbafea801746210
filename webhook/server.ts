import type {RequestListener} from 'node:http';
import {createServer, type Server} from 'node:https';
import {dropIdlest} from './connections.ts';

/** The API server keeps connections for long, and opens few: one that is idle is for it to close. */
const KEEP_ALIVE_MS = 150_000;
const HEADERS_MS = 5_000;
/** A review is 20 MiB at most and comes from the same network. */
const REQUEST_MS = 10_000;
const MAX_CONNECTIONS = 1_024;
const CROWDED = 1_000;

/** Where the API server calls: TLS only, bounded in connections, headers and time. It has no certificate yet. */
export function newReviewServer(handle: RequestListener): Server {
  const server = createServer(
    {
      minVersion: 'TLSv1.2',
      handshakeTimeout: HEADERS_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
      connectionsCheckingInterval: 1_000,
      maxHeaderSize: 32 << 10,
      insecureHTTPParser: false,
      noDelay: true,
    },
    handle,
  );
  server.maxConnections = MAX_CONNECTIONS;
  dropIdlest(server, CROWDED);
  server.on('clientError', (_error, socket) => socket.destroy());
  server.on('tlsClientError', () => undefined); // scanners, and probes of ports
  return server;
}
