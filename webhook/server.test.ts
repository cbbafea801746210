import assert from 'node:assert/strict';
import {once} from 'node:events';
import {connect as connectPlain, type AddressInfo, type Socket} from 'node:net';
import {Agent, request} from 'node:https';
import {connect} from 'node:tls';
import {test} from 'node:test';
import {newSelfSigned} from '../test/self-signed.ts';
import {newReviewServer} from './server.ts';

async function started() {
  const tls = await newSelfSigned();
  const server = newReviewServer((_req, res) => res.end('ok'));
  server.setSecureContext({cert: tls.cert, key: tls.key, minVersion: 'TLSv1.2'});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const {port} = server.address() as AddressInfo;
  return {
    server,
    port,
    ca: tls.cert,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
      await tls[Symbol.asyncDispose]();
    },
  };
}

function ask(
  {port, ca}: {readonly port: number; readonly ca: string},
  agent: Agent | false = false,
): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request({host: '127.0.0.1', port, ca, agent}, (res) => {
      res.resume();
      resolve(res.statusCode);
    })
      .once('error', reject)
      .end();
  });
}

for (const maxVersion of ['TLSv1', 'TLSv1.1'] as const)
  test(`${maxVersion} is refused`, async () => {
    await using on = await started();
    const options = {port: on.port, ca: on.ca, minVersion: 'TLSv1', maxVersion, ciphers: 'DEFAULT@SECLEVEL=0'} as const;
    const socket = connect(options);
    const [error] = (await once(socket, 'error')) as [Error];
    assert.match(String(error), /version|alert|protocol/i);
  });

test('who speaks no TLS, or begins to and stops, is closed, and others are answered meanwhile', async () => {
  await using on = await started();
  const closed: Promise<unknown>[] = [];
  const watched = <S extends Socket>(socket: S): S => {
    closed.push(new Promise((resolve) => socket.once('close', resolve)));
    return socket.on('error', () => undefined).resume();
  };
  const plain = watched(connectPlain(on.port, '127.0.0.1'));
  plain.write('POST /validate HTTP/1.1\r\nhost: x\r\n\r\n');
  watched(connectPlain(on.port, '127.0.0.1')); // says nothing
  const slow = watched(connect({port: on.port, ca: on.ca}));
  await once(slow, 'secureConnect');
  slow.write('POST /validate HTTP/1.1\r\nho'); // and nothing more
  assert.equal(await ask(on), 200);
  await Promise.all(closed);
  assert.equal(await ask(on), 200);
});

test('headers without end, and two lengths of one body, are refused', async () => {
  await using on = await started();
  for (const headers of [
    `x: ${'x'.repeat(64 << 10)}`,
    'content-length: 1\r\ncontent-length: 2',
    'content-length: 1\r\ntransfer-encoding: chunked',
  ]) {
    const socket = connect({port: on.port, ca: on.ca});
    socket.on('error', () => undefined);
    let answer = '';
    socket.on('data', (bytes: Buffer) => (answer += bytes.toString()));
    socket.write(`POST /validate HTTP/1.1\r\nhost: x\r\n${headers}\r\n\r\n`);
    await new Promise((resolve) => socket.once('close', resolve));
    assert.doesNotMatch(answer, /^HTTP\/1\.1 200/);
  }
});

test('connections that say nothing, or asked once, are the first to go when there are many: others are answered', async () => {
  await using on = await started();
  const sockets: Socket[] = [];
  const open = async (count: number): Promise<void> => {
    const made = Array.from({length: count}, () => connectPlain(on.port, '127.0.0.1').on('error', () => undefined));
    sockets.push(...made);
    await Promise.all(made.map((socket) => once(socket, 'connect')));
  };
  try {
    const agent = new Agent({keepAlive: true, maxSockets: 1});
    assert.equal(await ask(on, agent), 200);
    for (let i = 0; i < 12; i++) await open(100);
    assert.equal(await ask(on), 200);
    assert.equal(await ask(on, agent), 200); // the one it kept has gone, and it makes another
    agent.destroy();
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});
