import assert from 'node:assert/strict';
import {once} from 'node:events';
import {connect, createServer, type AddressInfo, type Socket} from 'node:net';
import {test} from 'node:test';
import {poll} from '../../test/poll.ts';
import {shareFairly} from './fair-share.ts';

test('who has many connections gets no more when most are taken; others do, and all when there is room again', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  shareFairly(server, 8);
  const {port} = server.address() as AddressInfo; // of a TCP server
  const open: Socket[] = [];
  /** Whether the connection stays. */
  const stays = async (localAddress: string): Promise<boolean> => {
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const socket = connect({port, host: '127.0.0.1', localAddress});
    socket.on('error', () => undefined);
    const [own] = await accepted;
    if (own.destroyed) return false;
    open.push(socket);
    return true;
  };
  try {
    for (let i = 0; i < 6; i++) assert.ok(await stays('127.0.0.1'), 'there is room for all');
    assert.ok(!(await stays('127.0.0.1')));
    for (const other of ['127.0.0.2', '127.0.0.3']) assert.ok(await stays(other));
    assert.ok(!(await stays('127.0.0.1')));
    for (const one of open.splice(0, 4)) one.destroy();
    await poll('they are gone', async () => {
      const {promise, resolve} = Promise.withResolvers<number>();
      server.getConnections((_error, count) => resolve(count));
      return (await promise) <= 4;
    });
    assert.ok(await stays('127.0.0.1'));
  } finally {
    for (const one of open) one.destroy();
    server.close();
  }
});
