import assert from 'node:assert/strict';
import {test} from 'node:test';
import {IntegrityError, UpstreamError} from '../../oci/error.ts';
import {StoreFullError} from '../store/contract.ts';
import {NoSuchPlatformError, type Pulled} from './backend.ts';
import {ApiRig, DIGEST, newImage, OTHER, PULLED} from './rig.ts';

test('GET images passes the page on, and says where the next begins', async () => {
  await using rig = await ApiRig.start();
  rig.images = [newImage('3'), newImage('4')];
  const tagged = JSON.parse((await rig.ask('GET', '/api/v1/images?limit=2&after=a&match=alp%69ne')).text) as {
    images: unknown[];
    next: string;
  };
  assert.deepEqual(rig.asked, ['images {"limit":2,"after":"a","match":"alpine"}']);
  assert.equal(tagged.images.length, 2);
  assert.equal(tagged.next, 'docker.io/library/alpine:4');
  rig.images = [newImage(DIGEST)];
  assert.match((await rig.ask('GET', '/api/v1/images?limit=1')).text, /"next":"docker.io\/library\/alpine@sha256:a/);
  assert.doesNotMatch((await rig.ask('GET', '/api/v1/images')).text, /next/);
});

test('GET usage answers what the store says', async () => {
  await using rig = await ApiRig.start();
  assert.match((await rig.ask('GET', '/api/v1/usage')).text, /"diskFreeBytes":7/);
});

test('DELETE removes a tag or a digest that is there', async () => {
  await using rig = await ApiRig.start();
  for (const reference of ['alpine:3', encodeURIComponent(`alpine@${DIGEST}`), 'docker.io/library/alpine:3']) {
    assert.deepEqual(await rig.ask('DELETE', `/api/v1/images/${reference}`), {
      status: 200,
      text: '{"freedBytes":42}\n',
    });
  }
  assert.deepEqual(rig.asked, [
    'remove docker.io/library/alpine 3',
    `remove docker.io/library/alpine ${DIGEST}`,
    'remove docker.io/library/alpine 3',
  ]);
});

test('POST refresh says what changed', async () => {
  await using rig = await ApiRig.start();
  const changed = await rig.ask('POST', '/api/v1/refresh', {reference: 'alpine:3'});
  assert.deepEqual(JSON.parse(changed.text), {before: OTHER, after: DIGEST, mediaType: 'x', changed: true});
  rig.refresh = () => Promise.resolve({before: DIGEST, after: DIGEST, mediaType: 'x'});
  assert.match((await rig.ask('POST', '/api/v1/refresh', {reference: 'alpine:3'})).text, /"changed":false/);
  assert.deepEqual(rig.asked, Array(2).fill('refresh docker.io/library/alpine 3'));
});

test('POST pull tells what happens, a line each, and ends with the sum', async () => {
  await using rig = await ApiRig.start();
  rig.pull = (_request, onEvent) => {
    onEvent({event: 'resolved', digest: DIGEST, platforms: ['linux/amd64'], blobs: 1, totalBytes: 10});
    onEvent({event: 'blob', digest: OTHER, sizeBytes: 10, source: 'upstream'});
    return Promise.resolve(PULLED);
  };
  const {status, text} = await rig.ask('POST', '/api/v1/pull', {
    reference: `alpine:3@${DIGEST}`,
    platforms: ['linux/amd64', 'linux/arm64/v8'],
  });
  assert.equal(status, 200);
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as {event: string});
  assert.deepEqual(
    lines.map(({event}) => event),
    ['resolved', 'blob', 'done'],
  );
  assert.deepEqual(lines[2], {event: 'done', ...PULLED});
  assert.deepEqual(rig.asked, [`pull docker.io/library/alpine ${DIGEST} linux/amd64,linux/arm64/v8`]);
});

test('a pull that fails after it began says so in its last line', async () => {
  await using rig = await ApiRig.start();
  rig.pull = (_request, onEvent) => {
    onEvent({event: 'resolved', digest: DIGEST, platforms: [], blobs: 1, totalBytes: 10});
    return Promise.reject(new IntegrityError('Wanted x, got y'));
  };
  const {status, text} = await rig.ask('POST', '/api/v1/pull', {reference: 'alpine:3', platforms: 'all'});
  assert.equal(status, 200);
  assert.deepEqual(JSON.parse(text.split('\n')[1] ?? ''), {event: 'error', status: 502, message: 'Wanted x, got y'});
});

const FAILURES: readonly (readonly [error: Error, status: number, message: RegExp])[] = [
  [new UpstreamError('notFound', 'docker.io', 'docker.io answered 404'), 404, /docker.io answered 404/],
  [new UpstreamError('unauthorized', 'docker.io', 'docker.io answered 401'), 403, /401/],
  [new UpstreamError('timeout', 'docker.io', 'slow'), 504, /slow/],
  [new UpstreamError('tooManyRequests', 'docker.io', 'later'), 503, /later/],
  [new NoSuchPlatformError('The image has nothing for x'), 404, /nothing for x/],
  [new StoreFullError('ENOSPC'), 507, /no room: ENOSPC/],
  [new TypeError('/var/lib/secret is undefined'), 500, /^Internal error/],
];

for (const [error, status, message] of FAILURES) {
  test(`${error.constructor.name} ${error.message} is ${String(status)}`, async () => {
    await using rig = await ApiRig.start();
    rig.refresh = () => Promise.reject(error);
    rig.pull = () => Promise.reject(error);
    for (const [endpoint, body] of [
      ['refresh', {reference: 'alpine:3'}],
      ['pull', {reference: 'alpine:3', platforms: 'all'}],
    ] as const) {
      const answer = await rig.ask('POST', `/api/v1/${endpoint}`, body);
      assert.equal(answer.status, status);
      assert.match((JSON.parse(answer.text) as {error: {message: string}}).error.message, message);
    }
    assert.equal(rig.logged.length, status === 500 ? 2 : 0);
  });
}

const REFUSED: readonly (readonly [method: string, path: string, body: unknown, status: number])[] = [
  ['GET', '/', undefined, 404],
  ['GET', '/v2/', undefined, 404],
  ['GET', '/api/v1/toString', undefined, 404],
  ['PUT', '/api/v1/images', undefined, 404],
  ['GET', '/api/v1/images/alpine', undefined, 404],
  ['GET', '/api/v1/images?limit=0', undefined, 400],
  ['GET', '/api/v1/images?limit=1001', undefined, 400],
  ['GET', '/api/v1/images?limit=1e1', undefined, 400],
  ['GET', '/api/v1/images?offset=1', undefined, 400],
  ['GET', `/api/v1/images?match=${'x'.repeat(256)}`, undefined, 400],
  ['DELETE', '/api/v1/images/', undefined, 400],
  ['DELETE', '/api/v1/images/..%2f..%2fetc', undefined, 400],
  ['DELETE', '/api/v1/images/%zz', undefined, 400],
  ['DELETE', '/api/v1/images/alpine:4', undefined, 404],
  ['DELETE', `/api/v1/images/alpine@${OTHER}`, undefined, 404],
  ['DELETE', `/api/v1/images/alpine:3@${DIGEST}`, undefined, 400],
  ['POST', '/api/v1/refresh', 'no JSON', 400],
  ['POST', '/api/v1/refresh', {}, 400],
  ['POST', '/api/v1/refresh', {reference: 'UPPER'}, 400],
  ['POST', '/api/v1/refresh', {reference: `alpine@${DIGEST}`}, 400],
  ['POST', '/api/v1/refresh', {reference: 'alpine', more: 1}, 400],
  ['POST', '/api/v1/refresh', {reference: 'x'.repeat(20_000)}, 413],
  ['POST', '/api/v1/pull', {reference: 'alpine'}, 400],
  ['POST', '/api/v1/pull', {reference: 'alpine', platforms: []}, 400],
  ['POST', '/api/v1/pull', {reference: 'alpine', platforms: ['linux']}, 400],
  ['POST', '/api/v1/pull', {reference: 'alpine', platforms: Array(33).fill('linux/amd64')}, 400],
];

for (const [method, path, body, status] of REFUSED) {
  test(`${method} ${path.slice(0, 60)} ${JSON.stringify(body ?? '').slice(0, 60)} is ${String(status)}, and nothing is asked`, async () => {
    await using rig = await ApiRig.start();
    const answer = await rig.ask(method, path, body);
    assert.equal(answer.status, status);
    assert.equal(typeof (JSON.parse(answer.text) as {error: {message: string}}).error.message, 'string');
    assert.deepEqual([rig.asked, rig.logged], [[], []]);
  });
}

test('a caller that leaves stops the pull', async () => {
  await using rig = await ApiRig.start();
  const stopped = Promise.withResolvers<void>();
  rig.pull = (_request, onEvent, signal) => {
    onEvent({event: 'resolved', digest: DIGEST, platforms: [], blobs: 1, totalBytes: 10});
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        stopped.resolve();
        reject(signal.reason as Error);
      });
    });
  };
  const answer = await rig.send('POST', '/api/v1/pull', {reference: 'alpine', platforms: 'all'});
  answer.destroy();
  await stopped.promise;
  assert.deepEqual(rig.logged, []);
});

test('no more than four pulls run at the same time', async () => {
  await using rig = await ApiRig.start();
  const finish = Promise.withResolvers<Pulled>();
  rig.pull = (_request, onEvent) => {
    onEvent({event: 'resolved', digest: DIGEST, platforms: [], blobs: 1, totalBytes: 10});
    return finish.promise;
  };
  const ask = () => rig.send('POST', '/api/v1/pull', {reference: 'alpine', platforms: 'all'});
  const running = await Promise.all([ask(), ask(), ask(), ask()]);
  assert.equal((await rig.ask('POST', '/api/v1/pull', {reference: 'alpine', platforms: 'all'})).status, 503);
  finish.resolve(PULLED);
  for (const answer of running) await answer.resume().toArray();
  assert.equal((await rig.ask('POST', '/api/v1/pull', {reference: 'alpine', platforms: 'all'})).status, 200);
});
