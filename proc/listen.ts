import {chmod, lstat, unlink} from 'node:fs/promises';
import {once} from 'node:events';
import type {Server as PlainServer} from 'node:http';
import type {Server as TlsServer} from 'node:https';
import {connect, isIPv6} from 'node:net';
import {setTimeout as delay} from 'node:timers/promises';

type Server = PlainServer | TlsServer;

/** A TCP address, or the path of a unix socket. */
export type ListenAddress = {readonly host: string; readonly port: number} | {readonly path: string};

/** A server that accepts connections. */
export interface Listening {
  /** `host:port` with the port that was really taken, or the socket's path. */
  readonly address: string;
  /** 0 for a unix socket. */
  readonly port: number;
  /**
   * Closes idle connections and waits for the others; after `drainMs` they are destroyed. New ones are accepted while
   * something is under way, for half of the time at most: a client that fetches a blob in ranges asks again in the
   * middle of it, and has no one else to ask (containerd with `concurrent_layer_fetch_buffer`).
   * Never rejects; more calls wait for the first.
   */
  drain(drainMs: number): Promise<void>;
}

/** How often connections that fell idle are closed while draining, in ms: Node closes them only once by itself. */
const IDLE_CHECK_MS = 50;
/** A client that has connected has sent its request by then, in ms. */
const SETTLED_MS = 250;
/** A socket whose owner does not even accept in this time is in use all the same, in ms. */
const PROBE_MS = 1000;

/**
 * Listens on `address`. A unix socket is readable and writable by our user only (its folder should be, too: the mode
 * is set just after it appears), and the file that a dead process left is replaced.
 * @throws {Error} with the system's code, e.g. EADDRINUSE also for a unix socket that a live process answers on.
 */
export async function listen(server: Server, address: ListenAddress): Promise<Listening> {
  if ('path' in address) {
    await removeStale(address.path);
    await bind(server, {path: address.path});
    await chmod(address.path, 0o600);
    return newListening(server, address.path, 0);
  }
  await bind(server, {host: address.host, port: address.port});
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
  const host = isIPv6(address.host) ? `[${address.host}]` : address.host;
  return newListening(server, `${host}:${String(port)}`, port);
}

async function bind(server: Server, options: {path: string} | {host: string; port: number}): Promise<void> {
  const listening = once(server, 'listening'); // rejects on 'error'
  server.listen(options);
  await listening;
}

function newListening(server: Server, address: string, port: number): Listening {
  let draining: Promise<void> | undefined;
  return {address, port, drain: (drainMs) => (draining ??= drain(server, drainMs))};
}

async function drain(server: Server, drainMs: number): Promise<void> {
  const end = performance.now() + drainMs;
  await untilNothingIsUnderWay(server, end - drainMs / 2);
  const closed = new Promise<void>((resolve) => server.close(() => resolve())); // also if it was closed before
  const idle = setInterval(() => server.closeIdleConnections(), IDLE_CHECK_MS);
  const deadline = setTimeout(() => server.closeAllConnections(), Math.max(0, end - performance.now()));
  await closed;
  clearInterval(idle);
  clearTimeout(deadline);
}

/**
 * Goes on accepting until the last connection is closed, or until `end`. To Node a connection whose request is yet to come
 * is idle, too, and to a client its end is an error: none is closed as long as new ones keep coming.
 */
async function untilNothingIsUnderWay(server: Server, end: number): Promise<void> {
  let newestAt = performance.now();
  const note = (): void => void (newestAt = performance.now());
  server.on('connection', note);
  while (performance.now() < end && (await connections(server)) > 0) {
    if (performance.now() - newestAt > SETTLED_MS) server.closeIdleConnections();
    await delay(IDLE_CHECK_MS);
  }
  server.off('connection', note);
}

/** Also those that are being closed. */
function connections(server: Server): Promise<number> {
  return new Promise((resolve) => server.getConnections((_error, count) => resolve(count)));
}

/** @throws {Error} EADDRINUSE if something answers there, or if the path is not a socket: never deletes a file. */
async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return;
  if (!found.isSocket()) throw inUse(path, 'is there and is not a socket');
  if (await answers(path)) throw inUse(path, 'belongs to a running process');
  await unlink(path);
}

function inUse(path: string, why: string): Error {
  return Object.assign(new Error(`${path} ${why}`), {code: 'EADDRINUSE'});
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    const settle = (alive: boolean): void => {
      probe.destroy();
      resolve(alive);
    };
    probe.setTimeout(PROBE_MS, () => settle(true));
    probe.once('connect', () => settle(true));
    // Refused: the file of a dead process. Anything else (no permission, full backlog) is somebody's.
    probe.once('error', (error: NodeJS.ErrnoException) =>
      settle(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT'),
    );
  });
}
