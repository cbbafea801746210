import {createServer} from 'node:net';

/**
 * Below what Linux gives to port 0 and to outgoing connections (32768–60999): a port from there is taken by somebody else
 * before the program that it is for has started, every few hundred times.
 */
const [FIRST, COUNT] = [12_000, 20_000];
const MAX_TRIES = 50;

/** Ports that this process gave out: their programs may not listen yet. */
const given = new Set<number>();

/** A loopback port that nobody listens on at this moment, for programs that cannot be asked for port 0. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (given.has(port) || !(await canListen(host, port))) continue;
    given.add(port);
    return port;
  }
  throw new Error(`No free port on ${host} in ${MAX_TRIES} tries`);
}

async function canListen(host: string, port: number): Promise<boolean> {
  const server = createServer();
  const listening = Promise.withResolvers<boolean>();
  server
    .once('error', () => listening.resolve(false))
    .listen({host, port, exclusive: true}, () => listening.resolve(true));
  const can = await listening.promise;
  if (can) await new Promise((resolve) => server.close(resolve));
  return can;
}
