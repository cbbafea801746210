import type {Server} from 'node:net';
import {networkOf} from '../access/network.ts';

/** From this share of all connections on, one address may have no more than that share. */
const BUSY_SHARE = 0.75;
const ONES_SHARE = 0.25;

/**
 * Keeps one address from taking all connections that a server accepts: when most are taken, who has many gets no more. Until
 * then everybody gets as many as they like, for an ingress or a NAT is one address for all its clients.
 */
export function shareFairly(server: Server, maxConnections: number): void {
  let total = 0;
  /** Address → connections. */
  const counts = new Map<string, number>();
  server.on('connection', (socket) => {
    const address = networkOf(socket.remoteAddress ?? '');
    const own = (counts.get(address) ?? 0) + 1;
    if (total >= maxConnections * BUSY_SHARE && own > maxConnections * ONES_SHARE) {
      socket.destroy();
      return;
    }
    total++;
    counts.set(address, own);
    socket.once('close', () => {
      total--;
      const left = (counts.get(address) ?? 0) - 1;
      if (left > 0) counts.set(address, left);
      else counts.delete(address);
    });
  });
}
