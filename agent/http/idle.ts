import type {Server, ServerResponse} from 'node:http';
import type {Socket} from 'node:net';
import type {Duplex} from 'node:stream';

/** How often a connection is looked at before it counts as idle. */
const LOOKS = 10;

/** The answer that is under way on a connection of a server's, which Node notes there. */
export function answerOn(socket: Duplex): ServerResponse | undefined {
  return (socket as Duplex & {readonly _httpMessage?: ServerResponse | null})._httpMessage ?? undefined;
}

/**
 * Closes connections on which for so long nothing came, nothing left and nothing was waited for. Node's own
 * `keepAliveTimeout` sets and clears a timer for each request, which is dear for a small answer (docs/performance.md).
 * Not for TLS: there a connection of the server's is not the one that answers are noted on.
 * @param idleMs at most a tenth more goes by.
 */
export function closeIdle(server: Server, idleMs: number): void {
  const connections = new Map<Socket, {bytes: number; looks: number}>();
  server.on('connection', (socket) => {
    connections.set(socket, {bytes: -1, looks: 0});
    socket.once('close', () => connections.delete(socket));
  });
  const timer = setInterval(() => {
    for (const [socket, seen] of connections) {
      const bytes = socket.bytesRead + socket.bytesWritten;
      if (bytes !== seen.bytes || answerOn(socket) !== undefined) {
        seen.bytes = bytes;
        seen.looks = 0;
      } else if (++seen.looks >= LOOKS) socket.destroy();
    }
  }, idleMs / LOOKS).unref();
  server.once('close', () => clearInterval(timer));
}
