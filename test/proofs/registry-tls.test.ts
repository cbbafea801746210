import assert from 'node:assert/strict';
import {copyFile, mkdtempDisposable, readFile, writeFile} from 'node:fs/promises';
import {once} from 'node:events';
import {createHash} from 'node:crypto';
import type {IncomingMessage} from 'node:http';
import {request} from 'node:https';
import {connect} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {connect as connectTls, type TLSSocket} from 'node:tls';
import {digestOf} from '../../oci/digest.ts';
import {ALICE, basic, HostedRig} from '../hosted-rig.ts';
import {needs} from '../needs.ts';
import {seededBytes} from '../peers/seeded.ts';
import {poll} from '../poll.ts';
import {newSelfSigned} from '../self-signed.ts';

interface Asked {
  readonly ca: string;
  readonly method?: string;
  readonly body?: Buffer;
}

/** The beginning of an answer over TLS, from a server whose certificate is `ca`. @throws {Error} for another one. */
async function open({address}: HostedRig, path: string, {ca, method = 'GET', body}: Asked): Promise<IncomingMessage> {
  const [host, port] = address.split(':');
  const headers = {authorization: basic(ALICE), ...(body === undefined ? {} : {'content-length': body.length})};
  const req = request({host, port, path, method, headers, ca, agent: false});
  req.end(body);
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  return res;
}

async function statusOf(...asked: Parameters<typeof open>): Promise<number | undefined> {
  const res = await open(...asked);
  res.resume();
  return res.statusCode;
}

/** The certificate that is shown to who connects now. */
async function shown({address}: HostedRig): Promise<string> {
  const [host = '', port] = address.split(':');
  const socket: TLSSocket = connectTls({host, port: Number(port), rejectUnauthorized: false});
  try {
    await once(socket, 'secureConnect');
    return socket.getPeerX509Certificate()?.fingerprint256 ?? '';
  } finally {
    socket.destroy();
  }
}

test('a certificate is replaced while images are pulled: who is at it ends, who comes sees the new one', async (t) => {
  if (!needs(t, 'openssl')) return;
  await using stack = new AsyncDisposableStack();
  const {path: folder} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-rotation-')));
  const [first, second] = [stack.use(await newSelfSigned()), stack.use(await newSelfSigned())];
  const tls = {certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key')};
  await copyFile(first.certFile, tls.certFile);
  await copyFile(first.keyFile, tls.keyFile);
  const registry = stack.use(await HostedRig.start({listener: {tls}}));
  const layer = Buffer.concat([...seededBytes('rotated', 48 << 20)]);
  const digest = digestOf(layer);
  const push = `/v2/team/app/blobs/uploads/?digest=${digest}`;
  assert.equal(await statusOf(registry, push, {ca: first.cert, method: 'POST', body: layer}), 201);

  const before = await shown(registry);
  const slow = await open(registry, `/v2/team/app/blobs/${digest}`, {ca: first.cert});
  const hash = createHash('sha256');
  slow.on('data', (chunk: Buffer) => hash.update(chunk));
  slow.pause(); // in the middle of an answer while all of this happens

  // The key comes after its certificate: in between they are no pair, and the old ones stay.
  await copyFile(second.certFile, tls.certFile);
  await poll('it is told', async () => (await registry.agent.metric('noost_listener_file_ok', {kind: 'tls'})) === 0);
  assert.equal(await shown(registry), before);
  await copyFile(second.keyFile, tls.keyFile);
  await poll('the new certificate', async () => (await shown(registry)) !== before);
  await poll(
    'and so it is told',
    async () => (await registry.agent.metric('noost_listener_file_ok', {kind: 'tls'})) === 1,
  );
  assert.equal(await statusOf(registry, '/v2/', {ca: second.cert}), 200);
  await assert.rejects(open(registry, '/v2/', {ca: first.cert}), /certificate/);

  slow.resume();
  await once(slow, 'end');
  assert.equal(`sha256:${hash.digest('hex')}`, digest, 'what was under way is whole');

  // What is no certificate at all changes nothing, and its text is not in the log.
  await writeFile(tls.keyFile, '-----BEGIN PRIVATE KEY-----\nsecret stuff\n');
  await poll(
    'it is told again',
    async () => (await registry.agent.metric('noost_listener_file_ok', {kind: 'tls'})) === 0,
  );
  assert.equal(await statusOf(registry, '/v2/', {ca: second.cert}), 200);
  const text = registry.agent.lines.join('\n');
  assert.doesNotMatch(text, /secret stuff/);
  assert.ok(!text.includes((await readFile(second.keyFile, 'utf8')).split('\n')[1] ?? '-'));
});

test('a TLS listener tells clients an https realm, and speaks neither clear text nor old versions', async (t) => {
  if (!needs(t, 'openssl')) return;
  await using stack = new AsyncDisposableStack();
  const cert = stack.use(await newSelfSigned());
  const registry = stack.use(
    await HostedRig.start({listener: {tls: {certFile: cert.certFile, keyFile: cert.keyFile}}}),
  );
  const [host = '', port] = registry.address.split(':');
  const req = request({host, port, path: '/v2/', ca: cert.cert, agent: false}).end();
  const [res] = (await once(req, 'response')) as [IncomingMessage];
  res.resume();
  assert.equal(res.statusCode, 401);
  assert.match(String(res.headers['www-authenticate']), new RegExp(`realm="https://${registry.address}/token"`));

  const clear = connect(Number(port), host);
  clear.write('GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n');
  let said = '';
  clear.on('data', (chunk: Buffer) => (said += chunk.toString('latin1'))).on('error', () => undefined);
  await once(clear, 'close');
  assert.doesNotMatch(said, / 200 | 401 /);

  const old = connectTls({
    host,
    port: Number(port),
    rejectUnauthorized: false,
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.1',
  });
  await assert.rejects(once(old, 'secureConnect'));
});

test('pulls over TLS that break off beside whole ones never mix their bytes', {timeout: 120_000}, async (t) => {
  if (!needs(t, 'openssl')) return;
  await using cert = await newSelfSigned();
  await using registry = await HostedRig.start({listener: {tls: {certFile: cert.certFile, keyFile: cert.keyFile}}});
  const ca = cert.cert;
  const blobs = await Promise.all(
    ['a', 'b', 'c'].map(async (name) => {
      const bytes = Buffer.concat(await Array.fromAsync(seededBytes(name, 6_000_000)));
      const digest = digestOf(bytes);
      const path = `/v2/app/blobs/uploads/?digest=${digest}`;
      assert.equal(await statusOf(registry, path, {ca, method: 'POST', body: bytes}), 201);
      return digest;
    }),
  );
  await Promise.all(
    Array.from({length: 120}, async (_, i) => {
      const digest = blobs[i % blobs.length] ?? '';
      const res = await open(registry, `/v2/app/blobs/${digest}`, {ca});
      const hash = createHash('sha256');
      let count = 0;
      for await (const chunk of res as AsyncIterable<Buffer>) {
        hash.update(chunk);
        count += chunk.length;
        if (i % 3 !== 0 && count > i * 20_000) return void res.destroy();
      }
      assert.equal(`sha256:${hash.digest('hex')}`, digest);
    }),
  );
});
