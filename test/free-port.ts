import {createServer, type AddressInfo} from 'node:net';

/** A loopback port that nobody listens on at this moment, for programs that cannot be asked for port 0. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const server = createServer();
  const listening = Promise.withResolvers<undefined>();
  server.once('error', listening.reject).listen(0, host, () => listening.resolve(undefined));
  await listening.promise;
  const {port} = server.address() as AddressInfo; // an IP socket's address is never a string
  await new Promise((resolve) => server.close(resolve));
  return port;
}
