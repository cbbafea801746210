import assert from 'node:assert/strict';
import {test} from 'node:test';
import {ApiError} from './error.ts';
import {toHostedName} from './hosted.ts';
import {ApiRig, DIGEST, newHosted} from './rig.ts';

const HOST = 'reg.test';

for (const [text, repository, tag, digest] of [
  ['team/app:v1', 'team/app', 'v1', undefined],
  ['team/app', 'team/app', undefined, undefined],
  ['reg.test/team/app:v1', 'team/app', 'v1', undefined],
  [`reg.test/team/app@${DIGEST}`, 'team/app', undefined, DIGEST],
  ['other.test/team/app:v1', 'other.test/team/app', 'v1', undefined],
] as const)
  test(`toHostedName() reads ${text.slice(0, 30)}`, () => {
    assert.deepEqual(toHostedName(text, HOST), {repository, tag, digest});
  });

for (const text of [
  '',
  ':v1',
  'Team/app:v1',
  '../x:v1',
  'a:b:c',
  'a@sha256:00',
  `a@${DIGEST}@${DIGEST}`,
  'localhost:5000/a:v1',
])
  test(`toHostedName() refuses ${JSON.stringify(text.slice(0, 30))} and shows what it should be`, () => {
    assert.throws(
      () => toHostedName(text, HOST),
      (error) => error instanceof ApiError && error.status === 400 && error.message.includes('reg.test/team/app:v1'),
    );
  });

test('an agent that hosts nothing says so, and lists nothing', async () => {
  await using rig = await ApiRig.start();
  assert.deepEqual(await rig.ask('GET', '/api/v1/hosted'), {status: 200, text: '{"images":[]}\n'});
  for (const [method, path] of [
    ['GET', 'history/team%2fapp:v1'],
    ['DELETE', 'hosted/team%2fapp:v1'],
    ['POST', 'gc'],
  ] as const) {
    const {status, text} = await rig.ask(method, `/api/v1/${path}`);
    assert.equal(status, 404, path);
    assert.match(text, /hosts no images: that needs a listener with door: direct/);
  }
  assert.doesNotMatch((await rig.ask('GET', '/api/v1/usage')).text, /hosted/);
});

test('a hosted image is removed by name and, by our own host, as any image is; never one that may not go', async () => {
  await using rig = await ApiRig.start();
  rig.hosted = newHosted(rig.asked);
  assert.equal((await rig.ask('DELETE', '/api/v1/hosted/team%2fapp:v1')).text, '{"tags":["v1"],"manifests":[]}\n');
  assert.equal((await rig.ask('DELETE', `/api/v1/images/reg.test%2fteam%2fapp@${DIGEST}`)).status, 200);
  assert.deepEqual(rig.asked.splice(0), ['remove team/app v1', `remove team/app ${DIGEST}`]);
  const frozen = await rig.ask('DELETE', '/api/v1/hosted/team%2fapp:frozen');
  assert.equal(frozen.status, 403);
  assert.match(frozen.text, /immutable/);
  assert.equal((await rig.ask('DELETE', `/api/v1/hosted/team%2fapp:v1@${DIGEST}`)).status, 400);
  // Of an upstream, whatever is hosted.
  rig.asked.length = 0;
  assert.equal((await rig.ask('DELETE', '/api/v1/images/alpine:3')).text, '{"freedBytes":42}\n');
  assert.deepEqual(rig.asked, ['remove docker.io/library/alpine 3']);
});

test('what is hosted here is neither pulled nor refreshed: it is here', async () => {
  await using rig = await ApiRig.start();
  rig.hosted = newHosted(rig.asked);
  for (const [endpoint, more] of [
    ['pull', {platforms: 'all'}],
    ['refresh', {}],
  ] as const) {
    const {status, text} = await rig.ask('POST', `/api/v1/${endpoint}`, {reference: 'reg.test/team/app:v1', ...more});
    assert.equal(status, 400);
    assert.match(text, /reg\.test is this agent's own registry/);
  }
  assert.deepEqual(rig.asked, []);
});

test('what has no tag goes when its age is said, and not before', async () => {
  await using rig = await ApiRig.start();
  rig.hosted = newHosted(rig.asked);
  const counts = '"blobs":2,"uploads":1,"freedBytes":4096';
  const untagged = `"untagged":[{"repository":"team/app","digest":"${DIGEST}"}]`;
  assert.equal((await rig.ask('POST', '/api/v1/gc')).text, `{${counts}}\n`);
  assert.equal((await rig.ask('POST', '/api/v1/gc?untagged=1d')).text, `{${counts},${untagged}}\n`);
  assert.deepEqual(rig.asked.splice(0), ['collect', 'untagged 86400000 false', 'collect']);
  const dry = await rig.ask('POST', '/api/v1/gc?untagged=1d&dryRun=true');
  assert.equal(dry.text, `{"blobs":0,"uploads":0,"freedBytes":0,${untagged}}\n`);
  assert.deepEqual(rig.asked.splice(0), ['untagged 86400000 true']);
  for (const query of [
    'untagged=',
    'untagged=30',
    'untagged=-1d',
    'untagged=20000d',
    'dryRun=true',
    'untagged=1d&dryRun=yes',
    'x=1',
  ]) {
    const {status, text} = await rig.ask('POST', `/api/v1/gc?${query}`);
    assert.equal(status, 400, query);
    assert.match(text, /untagged|dryRun|x/);
  }
  assert.deepEqual(rig.asked, []);
});

test('history is of tags, also of those that are gone; what never was is 404', async () => {
  await using rig = await ApiRig.start();
  rig.hosted = newHosted(rig.asked);
  const {moves} = JSON.parse((await rig.ask('GET', '/api/v1/history/reg.test%2fteam%2fapp:v1')).text) as {
    moves: unknown[];
  };
  assert.equal(moves.length, 2);
  assert.equal((await rig.ask('GET', '/api/v1/history/team%2fapp')).status, 404);
  assert.equal((await rig.ask('GET', `/api/v1/history/team%2fapp@${DIGEST}`)).status, 400);
  assert.deepEqual(rig.asked, ['history team/app v1', 'history team/app latest']);
});
