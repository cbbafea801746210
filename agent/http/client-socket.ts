import type {Server, Socket} from 'node:net';
import {TLSSocket} from 'node:tls';

/** The number of a plain TCP or unix socket; `undefined` for TLS. */
export function descriptorOf(socket: Socket): number | undefined {
  return socket instanceof TLSSocket || socket.destroyed ? undefined : handleOf(socket);
}

/** The number of the socket that a server listens with. */
export function listenerOf(server: Server): number | undefined {
  return handleOf(server);
}

/** Node has no public name for it. */
function handleOf(owner: Socket | Server): number | undefined {
  const fd = (owner as {readonly _handle?: {readonly fd?: number} | null})._handle?.fd;
  return fd !== undefined && fd >= 0 ? fd : undefined;
}
