import assert from 'node:assert/strict';
import {once} from 'node:events';
import type {RequestListener} from 'node:http';
import {connect, type AddressInfo} from 'node:net';
import {test} from 'node:test';
import {setTimeout as delay} from 'node:timers/promises';
import {newPushServer, newServer} from './server.ts';

type NewServer = (handle: RequestListener) => ReturnType<typeof newPushServer>;
const push: NewServer = (handle) => newPushServer(handle, undefined);

/** Sends this over one connection. @returns what came until it was closed, or until `enough` of it has come. */
async function answersTo(
  make: NewServer,
  handle: RequestListener,
  pieces: readonly string[],
  enough: (text: string) => boolean = () => false,
): Promise<string> {
  const server = make(handle).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const {port} = server.address() as AddressInfo; // of a TCP server
  const socket = connect({port, host: '127.0.0.1'});
  let text = '';
  try {
    const closed = new Promise<void>((resolve) => {
      socket.on('data', (chunk) => {
        text += chunk.toString('latin1');
        if (enough(text)) resolve();
      });
      socket.on('error', () => resolve());
      socket.on('close', () => resolve());
    });
    for (const piece of pieces) {
      socket.write(piece);
      await delay(50);
    }
    await closed;
    return text;
  } finally {
    socket.destroy();
    server.close();
    server.closeAllConnections();
  }
}

const GET = 'GET /a HTTP/1.1\r\nHost: a\r\n';

test('a request that others may read otherwise is refused before anybody sees it (D-035)', async () => {
  const PATCH = 'PATCH /a HTTP/1.1\r\nHost: a\r\n';
  for (const request of [
    `${GET}Host: b\r\n\r\n`,
    `${GET}host: a\r\n\r\n`,
    `${PATCH}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `${PATCH}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`,
    `${PATCH}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    `${PATCH}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
    `${PATCH}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `${PATCH.replace('1.1', '1.0')}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    `${PATCH}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`,
    `${GET}X: a\r\n b\r\n\r\n`,
    'GET /a HTTP/1.1\nHost: a\n\n',
    'GET /a HTTP/1.1\r\n\r\n',
  ]) {
    const seen: string[] = [];
    const handle: RequestListener = (req, res) => {
      seen.push(req.url ?? '');
      res.end();
    };
    const text = await answersTo(push, handle, [request]);
    assert.match(text, /^HTTP\/1\.1 400 /, JSON.stringify(request));
    assert.deepEqual(seen, [], JSON.stringify(request));
  }
});

test('too many headers are told as what they are', async () => {
  const text = await answersTo(push, (_, res) => res.end(), [`${GET}X: ${'x'.repeat(40 << 10)}\r\n\r\n`]);
  assert.match(text, /^HTTP\/1\.1 431 /);
});

test('requests of one connection are handled one after the other, and nobody queues without end', async () => {
  const order: string[] = [];
  let running = 0;
  const handle: RequestListener = (req, res) => {
    assert.equal(++running, 1);
    order.push(req.url ?? '');
    setTimeout(() => {
      running--;
      res.end('.');
    }, 20);
  };
  const request = (i: number): string =>
    `GET /${i} HTTP/1.1\r\nHost: a\r\n${i === 9 ? 'Connection: close\r\n' : ''}\r\n`;
  const text = await answersTo(push, handle, [Array.from({length: 10}, (_, i) => request(i)).join('')]);
  assert.equal(text.match(/HTTP\/1\.1 200 /g)?.length, 10);
  assert.deepEqual(
    order,
    Array.from({length: 10}, (_, i) => `/${i}`),
  );
  let handled = 0;
  const never: RequestListener = () => handled++;
  assert.equal(await answersTo(push, never, [`${GET}\r\n`.repeat(3_000)]), '', 'the connection is ended');
  assert.equal(handled, 1);
});

for (const [name, make] of [
  ['pushes', push],
  ['runtimes', newServer],
] as const)
  test(`${name}: what is no HTTP, sent in the middle of an answer, never puts a word of ours among its bytes`, async () => {
    const body = 'b'.repeat(100_000);
    const handle: RequestListener = (_, res) => {
      res.writeHead(200, {'content-length': body.length});
      res.write(body.slice(0, 50_000));
      setTimeout(() => res.end(body.slice(50_000)), 300);
    };
    const text = await answersTo(make, handle, [`${GET}\r\n`, 'garbage\r\n\r\n']);
    const sent = text.slice(text.indexOf('\r\n\r\n') + 4);
    assert.match(text, /^HTTP\/1\.1 200 /);
    assert.match(sent, /^b*$/);
    const alone = await answersTo(make, handle, ['garbage\r\n\r\n']);
    assert.match(alone, /^HTTP\/1\.1 400 /);
  });

test('a connection is kept while it is used or waited on, and closed when it has long been idle (P-28)', async () => {
  const IDLE_MS = 300;
  const handle: RequestListener = (req, res) => {
    setTimeout(() => res.end(req.url), req.url === '/slow' ? 3 * IDLE_MS : 0);
  };
  const make: NewServer = (given) => newServer(given, IDLE_MS);
  const request = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
  // Each piece is sent 50 ms after the one before.
  const often = Array.from({length: 16}, (_, i) => request(`/${i}`));
  for (const [what, pieces] of [
    ['asked again and again', often],
    ['answered late', [request('/slow')]],
  ] as const) {
    const begun = performance.now();
    const text = await answersTo(make, handle, pieces);
    const tookMs = performance.now() - begun;
    assert.equal(text.match(/HTTP\/1\.1 200 /g)?.length, pieces.length, what);
    assert.doesNotMatch(text, /HTTP\/1\.1 [45]/, 'and not a word when it is closed');
    assert.ok(tookMs >= (what === 'answered late' ? 4 : 3.5) * IDLE_MS, `${what}: closed after ${tookMs} ms`);
  }
});
