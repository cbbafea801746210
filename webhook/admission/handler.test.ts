import assert from 'node:assert/strict';
import {once} from 'node:events';
import {connect} from 'node:net';
import {test} from 'node:test';
import {setTimeout as delay} from 'node:timers/promises';
import {AdmissionRig, pod} from '../../test/admission-rig.ts';
import {clusterPolicy} from '../policy/rig.ts';
import {MAX_BODY} from './body.ts';
import {Load} from './load.ts';
import {ADMISSION_PATHS} from './paths.ts';

const {validate} = ADMISSION_PATHS;

function review(request: unknown): string {
  return JSON.stringify({apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', request});
}
const REQUEST = {
  uid: 'u',
  kind: {group: '', version: 'v1', kind: 'Pod'},
  resource: {group: '', version: 'v1', resource: 'pods'},
  namespace: 'team-a',
  operation: 'CREATE',
  userInfo: {username: 'jane', groups: []},
  object: pod(['nginx']),
};

const REFUSED: readonly (readonly [what: string, status: number, body: string, type?: string])[] = [
  ['no JSON', 400, 'not JSON: secret'],
  ['JSON that ends early', 400, '{"apiVersion":'],
  ['nothing', 400, ''],
  ['another type', 415, '{}', 'text/plain'],
  ['another kind', 400, '{"kind":"Pod","apiVersion":"v1"}'],
  ['a list', 400, '[]'],
  ['a version that is no more', 400, review(REQUEST).replace('/v1"', '/v1beta1"')],
  ['no request', 400, review(undefined)],
  ['no uid', 400, review({...REQUEST, uid: ''})],
  ['a uid without end', 400, review({...REQUEST, uid: 'u'.repeat(10_000)})],
  ['an operation that there is not', 400, review({...REQUEST, operation: 'ADMIT'})],
  ['groups that are no list', 400, review({...REQUEST, userInfo: {username: 'x', groups: {a: 1}}})],
  ['an object that is a text', 400, review({...REQUEST, object: 'pod'})],
  ['JSON of a million levels', 400, `{"a":${'['.repeat(1_000_000)}`],
  ['levels hidden behind texts', 400, `{"a":"\\"[","b":${'{"c":'.repeat(200)}`],
];
for (const [what, status, body, type] of REFUSED)
  test(`a review of ${what} is refused with ${String(status)}, and its text is not repeated`, async () => {
    await using rig = await AdmissionRig.start();
    const response = await rig.post(validate, body, type);
    const text = await response.text();
    assert.equal(response.status, status, text);
    assert.ok(text.length < 500 && !text.includes('secret'), text);
    assert.deepEqual([rig.told, rig.errors], [[], []]);
  });

test('a body that is too large is not read to its end, said or not', async () => {
  await using rig = await AdmissionRig.start();
  const {port} = new URL(rig.url);
  for (const length of [`content-length: ${String(MAX_BODY + 1)}`, 'transfer-encoding: chunked']) {
    const socket = connect({host: '127.0.0.1', port: Number(port)});
    let [answer, sent] = ['', 0];
    const chunk = `10000\r\n${' '.repeat(0x10000)}\r\n`;
    const more = (): void => {
      while (length.startsWith('transfer') && sent < MAX_BODY * 2 && !socket.destroyed && answer === '') {
        sent += 0x10000;
        if (!socket.write(chunk)) return;
      }
    };
    socket.on('data', (bytes: Buffer) => (answer += bytes.toString()));
    socket.on('error', () => undefined); // it is closed while we write
    socket.on('drain', more);
    socket.write(`POST ${validate} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${length}\r\n\r\n`);
    more();
    await new Promise((resolve) => socket.once('close', resolve));
    assert.ok(answer === '' || answer.startsWith('HTTP/1.1 413 '), answer);
    assert.ok(sent < MAX_BODY * 2);
    if (length.startsWith('content')) assert.match(answer, /at most 20 MiB/);
  }
  assert.deepEqual(rig.told, []);
});

test('another path and another method are refused', async () => {
  await using rig = await AdmissionRig.start();
  for (const path of ['/', '/validate/../metrics', `${validate}/`, '/metrics', '/%2e%2e'])
    assert.equal((await rig.post(path, review(REQUEST))).status, 404, path);
  assert.equal((await fetch(`${rig.url}${validate}`)).status, 405);
});

test('who is not ready says so by an error, which the failure policy decides about, and decides nothing', async () => {
  await using rig = await AdmissionRig.start({policies: [clusterPolicy({default: 'Deny'})]});
  rig.notReady = 'policies are not read yet';
  const response = await rig.post(validate, review(REQUEST));
  assert.equal(response.status, 503);
  assert.match(await response.text(), /policies are not read yet/);
});

test('an answer comes before the API server gives up, whatever hangs: Fail refuses, Ignore admits with a warning', async () => {
  for (const failurePolicy of ['Fail', 'Ignore'] as const) {
    await using rig = await AdmissionRig.start({failurePolicy});
    rig.with({namespaceLabels: () => new Promise(() => undefined)});
    const verdict = await rig.review('validate', pod(['nginx']), {timeout: '1s'});
    assert.equal(verdict.allowed, failurePolicy === 'Ignore');
    const said = verdict.allowed ? verdict.warnings.join() : verdict.message;
    assert.match(said, /could not judge the images in time/);
    assert.equal(rig.told[0]?.decision.reason, 'out-of-time');
    for (const timeout of ['0s', '999s', '-1s', 'x', '']) {
      rig.with({namespaceLabels: () => Promise.resolve({})});
      assert.ok((await rig.review('validate', pod(['nginx']), {timeout})).allowed, timeout);
    }
  }
});

test('who leaves before the answer leaves nothing behind', async () => {
  await using rig = await AdmissionRig.start();
  const {port} = new URL(rig.url);
  const held = Promise.withResolvers<Readonly<Record<string, string>>>();
  rig.with({namespaceLabels: () => held.promise});
  const body = review(REQUEST);
  for (let i = 0; i < 50; i++) {
    const socket = connect({host: '127.0.0.1', port: Number(port)});
    socket.on('error', () => undefined);
    const half = i % 2 === 0 ? body : body.slice(0, 100);
    socket.write(
      `POST ${validate} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${String(body.length)}\r\n\r\n${half}`,
    );
    await once(socket, 'connect');
    socket.destroy();
  }
  held.resolve({});
  assert.ok((await rig.review('validate', pod(['nginx']))).allowed);
  assert.deepEqual(rig.errors, []);
});

test('a bug in one review answers 500 without its text, and the next review is answered', async () => {
  await using rig = await AdmissionRig.start();
  const {identities} = rig.context;
  const broken = {
    of: () => {
      throw new RangeError('a secret');
    },
  };
  rig.with({identities: broken as never});
  const response = await rig.post(validate, review(REQUEST));
  assert.equal(response.status, 500);
  assert.doesNotMatch(await response.text(), /secret/);
  assert.equal(rig.errors.length, 1);
  rig.with({identities});
  assert.ok((await rig.review('validate', pod(['nginx']))).allowed);
});

test('a body of which nobody says how long it is counts as the longest there may be', async () => {
  await using rig = await AdmissionRig.start();
  const {port} = new URL(rig.url);
  const head = `POST ${validate} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n`;
  const sockets = [0, 1].map(() => connect({host: '127.0.0.1', port: Number(port)}).on('error', () => undefined));
  const answers = ['', ''];
  const [first, second] = sockets;
  sockets.forEach((socket, i) => socket.on('data', (bytes: Buffer) => (answers[i] += bytes.toString())));
  first?.write(`${head}5\r\n{"a":`); // and no more
  await delay(100);
  second?.write(head);
  while (answers[1] === '') await delay(10);
  assert.match(String(answers[1]), /^HTTP\/1\.1 503 /);
  assert.deepEqual([answers[0], rig.shed], ['', ['bytes']]);
  assert.equal((await rig.post(validate, review(REQUEST))).status, 200, 'a pod has room');
  for (const socket of sockets) socket.destroy();
});

test('beyond what it can hold a replica sheds at once, and takes reviews again when there is room', () => {
  using load = new Load();
  const leave = Array.from({length: 2_000}, () => load.enter(1));
  assert.ok(leave.every((one) => typeof one === 'function'));
  assert.equal(load.enter(1), 'in-flight');
  for (const one of leave) if (typeof one === 'function') one();
  const large = load.enter(64 * 1024 * 1024); // alone it may be as large as it likes: the body's own bound refuses it
  assert.equal(typeof large, 'function');
  assert.equal(load.enter(1024 * 1024), 'bytes');
  const small = load.enter(20 * 1024); // whoever announces much and sends nothing keeps no pod out
  assert.equal(typeof small, 'function');
  if (typeof small === 'function') small();
  if (typeof large === 'function') large();
  assert.equal(load.inFlight, 0);
  assert.equal(typeof load.enter(1), 'function');
});
