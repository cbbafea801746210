import assert from 'node:assert/strict';
import {mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {createServer, type AddressInfo, type Socket} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, test} from 'node:test';
import {PERIOD_BYTES, writeBlobFile} from './blob-file.ts';
import {buildGenerator, type Generator, type LoadReport, type Step, VoidRunError} from './generator.ts';

const BODY = 'these are the bytes';
const HEAD = `HTTP/1.1 200 OK\r\nContent-Length: ${BODY.length}\r\n\r\n`;

let folder = '';
let generator: Generator;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noost-bench-'));
  generator = await buildGenerator(folder);
  await writeFile(join(folder, 'body'), BODY);
});
after(async () => rm(folder, {recursive: true, force: true}));

/** A server that answers every request with just these pieces, one write each, and says what it was asked. */
async function asked(
  pieces: readonly (string | Buffer)[],
  ends: boolean,
  ask: (port: number) => Promise<LoadReport>,
): Promise<{report: LoadReport; requests: string[]}> {
  const requests: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket
      .on('error', () => socket.destroy())
      .on('data', (data) => {
        requests.push(data.toString().split('\r\n', 1)[0] ?? '');
        for (const piece of pieces) socket.write(piece);
        if (ends) socket.end();
      });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  try {
    const report = await ask((server.address() as AddressInfo).port);
    return {report, requests};
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

const step = (more: Partial<Step> = {}): Step => ({path: '/x', reference: join(folder, 'body'), ...more});
const try1 =
  (more: Partial<Step> = {}) =>
  (port: number) =>
    generator.tryRun({host: '127.0.0.1', port, steps: [step(more)], deadlineSeconds: 1});

for (const {name, pieces, ends = false} of [
  {name: 'a whole body', pieces: [HEAD + BODY]},
  {name: 'a header and a body in pieces', pieces: [HEAD.slice(0, 20), HEAD.slice(20), BODY.slice(0, 3), BODY.slice(3)]},
  {
    name: 'a chunked body with an extension and a trailer',
    pieces: [
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\n${BODY.slice(0, 5)}\r\ne\r\n${BODY.slice(5)}\r\n0\r\nX: y\r\n\r\n`,
    ],
  },
  {
    name: 'a body that ends with the connection',
    pieces: [`HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${BODY}`],
    ends: true,
  },
])
  test(`the load generator takes ${name}`, async () => {
    const {report, requests} = await asked(pieces, ends, try1());
    assert.deepEqual([report.errors, report.firstError, report.requests, report.bytes], [0, '', 1, BODY.length]);
    assert.deepEqual(requests, ['GET /x HTTP/1.1']);
  });

for (const {name, pieces, says, ends = false} of [
  {name: 'one wrong byte', pieces: [HEAD + BODY.replace('bytes', 'bites')], says: /wrong bytes/},
  {
    name: 'a body that breaks off',
    pieces: [HEAD + BODY.slice(0, -1)],
    ends: true,
    says: /ended early \(18, wanted 19\)/,
  },
  {name: 'a body that never ends', pieces: [HEAD + BODY.slice(0, -1)], says: /not complete before the deadline/},
  {
    name: 'a shorter Content-Length',
    pieces: ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthese'],
    says: /Content-Length \(5, wanted 19\)/,
  },
  {
    name: 'a short chunked body',
    pieces: ['HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nthese\r\n0\r\n\r\n'],
    says: /too short/,
  },
  {
    name: 'a chunked body without its last chunk',
    pieces: [`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n13\r\n${BODY}\r\n`],
    ends: true,
    says: /ended early/,
  },
  {name: 'bytes behind the answer', pieces: [`${HEAD}${BODY}!`], says: /bytes behind the answer/},
  {
    name: 'another status',
    pieces: ['HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'],
    says: /status \(404, wanted 200\)/,
  },
  {name: 'what is not HTTP', pieces: ['SSH-2.0-x\r\n\r\n'], says: /not HTTP/},
])
  test(`the load generator does not take ${name}`, async () => {
    const {report} = await asked(pieces, ends, try1());
    assert.equal(report.errors > 0, true);
    assert.match(report.firstError, says);
  });

test('a run with a wrong answer is void', async () => {
  const run = (port: number) => generator.run({host: '127.0.0.1', port, steps: [step()], deadlineSeconds: 1});
  await assert.rejects(asked(['HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n'], false, run), VoidRunError);
});

test('a range is asked for and compared with its part of the file', async () => {
  const pieces = ['HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\nare'];
  const {report} = await asked(pieces, false, try1({range: [6, 8]}));
  assert.deepEqual([report.errors, report.firstError, report.bytes], [0, '', 3]);
});

test('a blob that repeats itself is compared all the same: one period too far is told by its length, a byte by itself', async () => {
  const {path, sizeBytes} = await writeBlobFile(join(folder, 'blob'), 'test', 3 * PERIOD_BYTES + 5);
  const bytes = await readFile(path);
  const head = `HTTP/1.1 200 OK\r\nContent-Length: ${sizeBytes}\r\n\r\n`;
  const right = await asked([head, bytes], false, try1({reference: path}));
  assert.deepEqual([right.report.errors, right.report.bytes], [0, sizeBytes]);
  const flipped = Buffer.from(bytes);
  flipped[2 * PERIOD_BYTES + 1] = (bytes[2 * PERIOD_BYTES + 1] ?? 0) ^ 1;
  const wrong = await asked([head, flipped], false, try1({reference: path}));
  assert.match(wrong.report.firstError, /wrong bytes/);
});

test('clients that share a plan wait at its barrier', async () => {
  const steps = [step({path: '/1'}), 'barrier', step({path: '/2'}), step({path: '/3'})] as const;
  const {report, requests} = await asked([HEAD + BODY], false, (port) =>
    generator.run({host: '127.0.0.1', port, steps, clients: 2, order: 'shared'}),
  );
  assert.equal(report.requests, 3);
  assert.equal(requests[0], 'GET /1 HTTP/1.1');
  assert.deepEqual(requests.slice(1).toSorted(), ['GET /2 HTTP/1.1', 'GET /3 HTTP/1.1']);
});

test('slow clients are cut off when the others are done, and what they had was right', async () => {
  const {path, sizeBytes} = await writeBlobFile(join(folder, 'slow'), 'slow', 2 * PERIOD_BYTES);
  const pieces = [`HTTP/1.1 200 OK\r\nContent-Length: ${sizeBytes}\r\n\r\n`, await readFile(path)];
  const {report} = await asked(pieces, false, (port) =>
    generator.run({
      host: '127.0.0.1',
      port,
      steps: [step({reference: path})],
      clients: 3,
      slow: 2,
      slowBytesPerSecond: 1000,
      barrier: true,
    }),
  );
  assert.deepEqual([report.errors, report.latencyMs.count], [0, 1]);
  assert.equal(report.slowBytes < 2 * sizeBytes, true);
});
