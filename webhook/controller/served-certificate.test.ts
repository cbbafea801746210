import assert from 'node:assert/strict';
import type {X509Certificate} from 'node:crypto';
import {once} from 'node:events';
import type {AddressInfo} from 'node:net';
import {test} from 'node:test';
import {connect, createServer} from 'node:tls';
import {SILENT} from '../../kube/log.ts';
import {newAuthority, newLeaf} from './issue-certificate.ts';
import type {KeyPair} from './key-pair.ts';
import {ServedCertificate} from './served-certificate.ts';

const DAY_MS = 86_400_000;
const NOW = Date.now();

function leafOf(authority: KeyPair, nowMs = NOW): Promise<KeyPair> {
  return newLeaf(authority, ['127.0.0.1'], {nowMs, lifetimeMs: DAY_MS});
}

/** `trusted` is what the configurations say, to be changed. */
async function rig(settleMs = 60_000) {
  const [first, second] = [await newAuthority(NOW), await newAuthority(NOW)];
  const state: {trusted: X509Certificate[][] | undefined} = {trusted: [[first.leaf], [first.leaf]]};
  const served = new ServedCertificate({log: SILENT, nowMs: () => NOW, trusted: () => state.trusted, settleMs});
  served.offer(await leafOf(first));
  return {first, second, state, served};
}

test('ServedCertificate: the first is served at once; one of the same CA, too', async () => {
  const {first, served} = await rig();
  assert.equal(served.current?.leaf.checkIssued(first.leaf), true);
  const next = await leafOf(first);
  served.offer(next);
  assert.equal(served.current, next);
});

test('ServedCertificate: one of another CA waits until every configuration trusts it, and then a while', async (t) => {
  t.mock.timers.enable({apis: ['setTimeout']});
  const {first, second, state, served} = await rig(5_000);
  const old = served.current;
  const next = await leafOf(second);
  served.offer(next);
  assert.equal(served.current, old);
  state.trusted = [[second.leaf, first.leaf], [first.leaf]];
  served.recheck();
  t.mock.timers.tick(60_000);
  assert.equal(served.current, old, 'one of the two does not trust it yet');
  state.trusted = [
    [second.leaf, first.leaf],
    [second.leaf, first.leaf],
  ];
  served.recheck();
  t.mock.timers.tick(4_999);
  assert.equal(served.current, old);
  served.recheck(); // something else has changed: it does not begin to wait anew
  t.mock.timers.tick(1);
  assert.equal(served.current, next);
});

test('ServedCertificate: one that nobody trusts any more, or that has ended, is replaced at once', async () => {
  const {first, second, state, served} = await rig();
  const next = await leafOf(second);
  served.offer(next);
  state.trusted = [[second.leaf], [second.leaf]];
  served.recheck();
  assert.equal(served.current, next);
  const ended = new ServedCertificate({log: SILENT, nowMs: () => NOW + 2 * DAY_MS, trusted: () => [[first.leaf]]});
  ended.offer(await leafOf(first));
  const valid = await leafOf(second, NOW + 2 * DAY_MS);
  ended.offer(valid);
  assert.equal(ended.current, valid);
});

test('ServedCertificate: a server answers new handshakes with it; open connections go on', async (t) => {
  const {first, second, state, served} = await rig();
  const server = createServer((socket) => socket.pipe(socket));
  t.after(() => server.close());
  served.attach(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const dial = async (ca: KeyPair) => {
    const socket = connect({host: '127.0.0.1', port: (server.address() as AddressInfo).port, ca: ca.cert});
    t.after(() => socket.destroy());
    await once(socket, 'secureConnect');
    return socket;
  };
  const open = await dial(first);
  state.trusted = undefined; // the API server was not told to call us
  served.offer(await leafOf(second));
  state.trusted = [[second.leaf]];
  served.recheck();
  await dial(second);
  await assert.rejects(dial(first));
  open.write('still');
  const [echo] = (await once(open, 'data')) as [Buffer];
  assert.equal(echo.toString(), 'still');
});
