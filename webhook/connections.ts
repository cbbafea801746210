import type {Server as HttpsServer} from 'node:https';
import type {Socket} from 'node:net';

/** With a request under way. */
const BUSY = Number.POSITIVE_INFINITY;

/**
 * Keeps room for who wants something: beyond so many connections, the one that has been idle for longest goes. Whoever can
 * reach the port could otherwise hold all of them by saying nothing, or by asking once.
 */
export function dropIdlest(server: HttpsServer, crowded: number): void {
  /** Whose → the connection below TLS, and when it was last of use. */
  const open = new Map<string, {readonly socket: Socket; usedAt: number}>();
  server.on('connection', (socket: Socket) => {
    const peer = peerOf(socket);
    open.set(peer, {socket, usedAt: performance.now()});
    socket.once('close', () => {
      if (open.get(peer)?.socket === socket) open.delete(peer);
    });
    if (open.size > crowded) idlest(open.values())?.destroy();
  });
  server.on('request', ({socket}, res) => {
    const one = open.get(peerOf(socket));
    if (one === undefined) return;
    one.usedAt = BUSY;
    res.once('close', () => (one.usedAt = performance.now()));
  });
}

function idlest(all: Iterable<{readonly socket: Socket; readonly usedAt: number}>): Socket | undefined {
  let [found, since]: [Socket | undefined, number] = [undefined, BUSY];
  for (const {socket, usedAt} of all) if (usedAt < since) [found, since] = [socket, usedAt];
  return found;
}

/** The same for a TLS socket and the TCP connection below it. */
function peerOf({remoteAddress, remotePort}: Socket): string {
  return `${remoteAddress ?? ''} ${String(remotePort)}`;
}
