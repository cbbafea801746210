import assert from 'node:assert/strict';
import {once} from 'node:events';
import {type AddressInfo, connect} from 'node:net';
import {test} from 'node:test';
import {text} from 'node:stream/consumers';
import type {ServerResponse} from 'node:http';
import {prepareHead, writePrepared} from './prepared.ts';
import {newPushServer, newServer} from './server.ts';

const FIELDS = {
  'docker-distribution-api-version': 'registry/2.0',
  'content-type': 'application/vnd.oci.image.manifest.v1+json',
  etag: '"sha256:1234"',
  'content-length': 5,
  'noost-cache': 'hit',
};
const PREPARED = prepareHead(FIELDS);

/** What leaves for such requests, all of it, without the time and without what a push server says of its patience. */
async function leaves(
  requests: string,
  newOne: typeof newServer,
  write: (res: ServerResponse) => void,
): Promise<string> {
  const server = newOne((req, res) => {
    write(res);
    if (req.method === 'HEAD') res.end();
    else res.end('hello', 'latin1');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.write(requests);
  setTimeout(() => socket.end(), 100);
  const all = await text(socket);
  server.close();
  return all
    .replaceAll(/^Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n/gm, '')
    .replaceAll(/^Keep-Alive: .*\r\n/gm, '');
}

const HOST = 'Host: x\r\n';
const CASES: readonly [name: string, requests: string, answers: number][] = [
  ['a GET', `GET / HTTP/1.1\r\n${HOST}\r\n`, 1],
  ['a HEAD', `HEAD / HTTP/1.1\r\n${HOST}\r\n`, 1],
  ['two, one behind the other', `GET / HTTP/1.1\r\n${HOST}\r\nHEAD / HTTP/1.1\r\n${HOST}\r\n`, 2],
  ['one that closes', `GET / HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`, 1],
  ['HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', 1],
  ['HTTP/1.0 that stays', `GET / HTTP/1.0\r\nConnection: keep-alive\r\n${HOST}\r\n`, 1],
];
for (const [server, newOne] of [
  ['', newServer],
  [' at a server that takes pushes', (handle) => newPushServer(handle, undefined)],
] as readonly (readonly [string, typeof newServer])[])
  for (const [name, requests, answers] of CASES)
    test(`a prepared head leaves as a written one does: ${name}${server}`, async () => {
      const prepared = await leaves(requests, newOne, (res) => {
        writePrepared(res, PREPARED);
        assert.deepEqual([res.headersSent, res.statusCode], [true, 200]);
      });
      assert.equal(prepared, await leaves(requests, newOne, (res) => res.writeHead(200, FIELDS)));
      assert.equal(prepared.match(/HTTP\/1\.1 200 OK\r\n/g)?.length, answers);
    });

test('a prepared head says the time, as any does', async () => {
  let seen = '';
  await leaves(`GET / HTTP/1.1\r\n${HOST}\r\n`, newServer, (res) => {
    writePrepared(res, PREPARED);
    seen = (res as ServerResponse & {readonly _header: string})._header;
  });
  const at = Date.parse(/^Date: (.*)\r$/m.exec(seen)?.[1] ?? '');
  assert.ok(Math.abs(Date.now() - at) < 5_000, seen);
});

for (const [name, value] of [
  ['content-type', 'a/b\r\nset-cookie: x=y'],
  ['content-type', 'a/b\u0000'],
  ['content-type', 'a/\u20ac'],
  ['bad name', 'x'],
] as const)
  test(`a head cannot be prepared with ${JSON.stringify({[name]: value})}`, () => {
    assert.throws(() => prepareHead({...FIELDS, [name]: value}), TypeError);
  });
