import type {Socket} from 'node:net';
import {TLSSocket} from 'node:tls';

/** Whether both ends are on this machine: the kernel then takes the address asked for as the asker's, too. */
export function isLocal({localAddress, remoteAddress}: Socket): boolean {
  return localAddress !== undefined && localAddress === remoteAddress;
}

/** The number of a plain TCP or unix socket; `undefined` for TLS. Node has no public name for it. */
export function descriptorOf(socket: Socket): number | undefined {
  if (socket instanceof TLSSocket || socket.destroyed) return undefined;
  const handle = (socket as Socket & {readonly _handle?: {readonly fd?: number} | null})._handle;
  const fd = handle?.fd;
  return fd !== undefined && fd >= 0 ? fd : undefined;
}
