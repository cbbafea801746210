import assert from 'node:assert/strict';
import {once} from 'node:events';
import {connect} from 'node:net';
import {after, before, test} from 'node:test';
import {digestOf} from '../../oci/digest.ts';
import {ALICE, basic, HostedRig} from '../hosted-rig.ts';

let registry: HostedRig;
before(async () => {
  registry = await HostedRig.start();
});
after(async () => registry[Symbol.asyncDispose]());

/** Sends text as it is. @returns what came until this matches, or until the connection was closed. */
async function talk(pieces: readonly {readonly send: string; readonly until: RegExp}[]): Promise<string> {
  const [host, port] = registry.address.split(':');
  const socket = connect({host, port: Number(port)});
  let text = '';
  let closed = false;
  socket.on('data', (chunk) => (text += chunk.toString('latin1')));
  socket.on('close', () => (closed = true)).on('error', () => (closed = true));
  for (const {send, until} of pieces) {
    socket.write(send);
    while (!closed && !until.test(text))
      await Promise.race([once(socket, 'data'), once(socket, 'close')]).catch(() => 0);
  }
  socket.destroy();
  return text;
}

const head = (line: string, more = ''): string =>
  `${line} HTTP/1.1\r\nHost: reg.test\r\nAuthorization: ${basic(ALICE)}\r\n${more}\r\n`;

test('a client that waits for "100 Continue" sends nothing that would be refused', async () => {
  const huge = 'Expect: 100-continue\r\nContent-Length: 99999999999999\r\n';
  for (const [line, status] of [
    ['POST /v2/app/blobs/uploads/?digest=' + digestOf(Buffer.alloc(1)), 413],
    ['PUT /v2/app/manifests/v1', 413],
    ['PATCH /v2/app/blobs/uploads/none', 404],
    ['DELETE /v2/app/tags/list', 405],
  ] as const)
    assert.match(await talk([{send: head(line, huge), until: /\}$/}]), new RegExp(`^HTTP/1.1 ${status} `), line);
  const nobody = head('PUT /v2/app/manifests/v1', huge).replace(/Authorization.*\r\n/, '');
  assert.match(await talk([{send: nobody, until: /\}$/}]), /^HTTP\/1\.1 401 /);
});

test('who is welcome is asked for the body: a blob, a manifest, a form for a token', async () => {
  const expect = (length: number): string => `Expect: 100-continue\r\nContent-Length: ${length}\r\n`;
  const digest = digestOf(Buffer.from('hello'));
  const blob = await talk([
    {send: head(`POST /v2/app/blobs/uploads/?digest=${digest}`, expect(5)), until: /100 Continue\r\n\r\n/},
    {send: 'hello', until: /201 Created/},
  ]);
  assert.match(blob, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 201 Created/);
  const form = 'grant_type=password&username=alice&password=open+sesame';
  const token = await talk([
    {send: `POST /token HTTP/1.1\r\nHost: a\r\n${expect(form.length)}\r\n`, until: /100 Continue\r\n\r\n/},
    {send: form, until: /\}$/},
  ]);
  assert.match(token, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 OK/);
  const read = await talk([{send: head(`GET /v2/app/blobs/${digest}`, 'Expect: 100-continue\r\n'), until: /hello$/}]);
  assert.match(read, /^HTTP\/1\.1 200 OK/);
});

test('a whole upload may be sent at once over one connection, chunks with trailers and all', async () => {
  const location = (await registry.send(ALICE, 'POST', 'app/blobs/uploads/')).headers.get('location') ?? '';
  const digest = digestOf(Buffer.from('hello again'));
  const chunked = 'Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n';
  const text = await talk([
    {
      send:
        head(`PATCH ${location}`, chunked) +
        '5;ext=1\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n' +
        head(`PATCH ${location}`, 'Content-Range: 5-7\r\nContent-Length: 3\r\n') +
        ' ag' +
        head(`PUT ${location}?digest=${digest}`, 'Content-Length: 3\r\n') +
        'ain' +
        head(`GET /v2/app/blobs/${digest}`),
      until: /hello again$/,
    },
  ]);
  const statuses = [...text.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => status);
  assert.deepEqual(statuses, ['202', '202', '201', '200']);
  assert.match(text, /hello again$/);
});

test('whatever type a pusher gives it, no browser takes it for a page of ours', async () => {
  const page = {mediaType: 'text/html', annotations: {a: '<script>alert(1)</script>'}};
  const init = {body: JSON.stringify(page), headers: {'content-type': 'text/html'}};
  assert.equal((await registry.send(ALICE, 'PUT', 'app/manifests/page', init)).status, 201);
  const {headers} = await registry.send(ALICE, 'GET', 'app/manifests/page');
  assert.equal(headers.get('content-type'), 'text/html');
  assert.equal(headers.get('x-content-type-options'), 'nosniff');
  assert.equal(headers.get('content-security-policy'), "default-src 'none'; sandbox");
  const bytes = Buffer.from('<script>alert(1)</script>');
  const digest = digestOf(bytes);
  const pushed = await registry.send(ALICE, 'POST', `app/blobs/uploads/?digest=${digest}`, {body: bytes});
  assert.equal(pushed.status, 201);
  const blob = await registry.send(ALICE, 'GET', `app/blobs/${digest}`);
  assert.equal(blob.headers.get('content-type'), 'application/octet-stream');
  assert.equal(blob.headers.get('x-content-type-options'), 'nosniff');
});
