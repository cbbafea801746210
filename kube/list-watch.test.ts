import assert from 'node:assert/strict';
import {test} from 'node:test';
import {FakeKube} from '../test/fake-kube.ts';
import {poll} from '../test/poll.ts';
import {ListWatch, type Change, type ListWatchOptions} from './list-watch.ts';
import type {KubeObject} from './object.ts';
import {CONFIG_MAPS} from './resources.ts';

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

const NEVER = AbortSignal.timeout(60_000);

function put(fake: FakeKube, name: string, x = ''): void {
  fake.put(CONFIG_MAPS, {metadata: {name, namespace: 'a'}, data: {x}});
}

function watch(
  fake: FakeKube,
  more: Partial<ListWatchOptions<ConfigMap>> = {},
): {list: ListWatch<ConfigMap>; changes: string[]} {
  const changes: string[] = [];
  const onChange = ({type, object}: Change<ConfigMap>): void => {
    changes.push(`${type} ${object.metadata.name} ${object.data?.['x']}`);
  };
  const list = new ListWatch<ConfigMap>({
    client: fake.client(),
    type: CONFIG_MAPS,
    onChange,
    maxBackoffMs: 400,
    ...more,
  });
  list.start();
  return {list, changes};
}

function names(list: ListWatch<ConfigMap>): string[] {
  return [...list.values()].map(({metadata, data}) => `${metadata.name} ${data?.['x']}`).toSorted();
}

async function has(list: ListWatch<ConfigMap>, ...wanted: string[]): Promise<void> {
  await poll(`the cache has ${wanted.join(', ')}`, () => names(list).join() === wanted.join());
}

test('what was there is listed in pages, then followed', async () => {
  await using fake = await FakeKube.start();
  for (let i = 0; i < 5; i++) put(fake, `n${i}`);
  const {list, changes} = watch(fake, {pageSize: 2});
  await using _ = list;
  await list.whenSynced(NEVER);
  assert.equal(list.size, 5);
  assert.equal(fake.requests.filter((one) => !one.includes('watch')).length, 3);
  put(fake, 'n0', 'new');
  put(fake, 'n9');
  fake.remove(CONFIG_MAPS, 'n1', 'a');
  await has(list, 'n0 new', 'n2 ', 'n3 ', 'n4 ', 'n9 ');
  assert.deepEqual(changes.slice(5), ['modified n0 new', 'added n9 ', 'deleted n1 ']);
  assert.equal(list.get('n0', 'a')?.data?.['x'], 'new');
  assert.equal(list.get('n0'), undefined);
});

for (const how of ['end', 'break'] as const) {
  test(`a watch whose connection does ${how} is resumed: nothing is listed again`, async () => {
    await using fake = await FakeKube.start();
    put(fake, 'one');
    const {list, changes} = watch(fake);
    await using _ = list;
    await poll('watched', () => fake.watches === 1);
    fake.endWatches(how);
    put(fake, 'two');
    await has(list, 'one ', 'two ');
    assert.deepEqual(changes, ['added one ', 'added two ']);
    assert.equal(fake.requests.filter((one) => !one.includes('watch')).length, 1);
  });
}

test('an API server that restarts is found again, and what was known stays known', async () => {
  await using fake = await FakeKube.start();
  put(fake, 'one');
  const {list} = watch(fake);
  await using _ = list;
  await list.whenSynced(NEVER);
  await fake.down(async () => {
    await poll('the failure is known', () => list.failure !== undefined);
    assert.deepEqual(names(list), ['one ']);
    assert.equal(list.synced, true);
  });
  put(fake, 'two');
  await has(list, 'one ', 'two ');
  assert.equal(list.failure, undefined);
});

test('a version that has expired (410) is listed anew, and only what differs is told', async () => {
  await using fake = await FakeKube.start();
  put(fake, 'one');
  put(fake, 'two');
  put(fake, 'three');
  const {list, changes} = watch(fake);
  await using _ = list;
  await poll('watched', () => fake.watches === 1);
  fake.silent = true;
  put(fake, 'two', 'new');
  put(fake, 'four');
  fake.remove(CONFIG_MAPS, 'three', 'a');
  fake.expire();
  fake.silent = false;
  fake.endWatches();
  await has(list, 'four ', 'one ', 'two new');
  assert.deepEqual(changes.slice(3).toSorted(), ['added four ', 'deleted three ', 'modified two new']);
});

test('410 in the middle of a list begins the list again', async () => {
  await using fake = await FakeKube.start();
  for (let i = 0; i < 3; i++) put(fake, `n${i}`);
  fake.failNext(410, 'continue=');
  const {list} = watch(fake, {pageSize: 2});
  await using _ = list;
  await list.whenSynced(NEVER);
  assert.equal(list.size, 3);
});

test('a watch that has fallen silent is broken off and resumed', async () => {
  await using fake = await FakeKube.start();
  put(fake, 'one');
  fake.silent = true;
  const {list} = watch(fake, {maxSilenceMs: 200});
  await using _ = list;
  await poll('watched', () => fake.watches === 1);
  put(fake, 'two');
  fake.silent = false; // the watch that is open will never say it
  await has(list, 'one ', 'two ');
});

for (const [what, line] of [
  ['no JSON', 'nonsense'],
  ['an unknown type', '{"type":"RENAMED","object":{"metadata":{}}}'],
  ['no object', '{"type":"ADDED"}'],
  ['an error', '{"type":"ERROR","object":{"code":500,"message":"etcdserver: no leader"}}'],
  ['an error that is none', '{"type":"ERROR","object":null}'],
] as const) {
  test(`a watch that says ${what} is begun anew`, async () => {
    await using fake = await FakeKube.start();
    const {list} = watch(fake);
    await using _ = list;
    await poll('watched', () => fake.watches === 1);
    fake.say(line);
    put(fake, 'one');
    await has(list, 'one ');
  });
}

test('a bookmark moves the version on; one from an earlier day lists anew', async () => {
  await using fake = await FakeKube.start();
  put(fake, 'one');
  const {list} = watch(fake);
  await using _ = list;
  await poll('watched', () => fake.watches === 1);
  const bookmark = (version: number): void =>
    fake.say(JSON.stringify({type: 'BOOKMARK', object: {metadata: {resourceVersion: `${version}`}}}));
  bookmark(77);
  fake.endWatches();
  await poll('resumed', () => fake.requests.some((one) => one.includes('resourceVersion=77')));
  await poll('watched', () => fake.watches === 1);
  const lists = (): number => fake.requests.filter((one) => !one.includes('watch')).length;
  const before = lists();
  bookmark(3);
  await poll('listed anew', () => lists() > before);
});

test('a kind that does not exist yet is asked for until it does', async () => {
  await using fake = await FakeKube.start();
  for (let i = 0; i < 3; i++) fake.failNext(404, 'GET');
  const {list} = watch(fake);
  await using _ = list;
  await list.whenSynced(NEVER);
  assert.equal(fake.requests.filter((one) => !one.includes('watch')).length, 4);
});

test('more objects than the bound are refused, not kept', async () => {
  await using fake = await FakeKube.start();
  for (let i = 0; i < 5; i++) put(fake, `n${i}`);
  const {list} = watch(fake, {maxItems: 4});
  await using _ = list;
  await poll('refused', () => list.failure !== undefined);
  assert.equal(list.synced, false);
  assert.match(list.failure?.message ?? '', /more than 4 configmaps/);
  fake.remove(CONFIG_MAPS, 'n0', 'a');
  await list.whenSynced(NEVER);
});

test('a listener that throws stops nothing', async () => {
  await using fake = await FakeKube.start();
  put(fake, 'one');
  const {list} = watch(fake, {
    onChange: () => {
      throw new Error('listener');
    },
  });
  await using _ = list;
  await list.whenSynced(NEVER);
  put(fake, 'two');
  await has(list, 'one ', 'two ');
});

test('a server that ends every watch at once is not asked in a loop', async () => {
  await using fake = await FakeKube.start();
  const {list} = watch(fake, {maxBackoffMs: 2000});
  await using _ = list;
  await list.whenSynced(NEVER);
  const before = fake.requests.length;
  const end = performance.now() + 1500;
  while (performance.now() < end) {
    fake.endWatches();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(fake.requests.length - before < 12, `${fake.requests.length - before} requests`);
});

test('stopped before it is synced it ends, and says so to whoever waits', async () => {
  await using fake = await FakeKube.start();
  fake.failNext('hang');
  const {list} = watch(fake);
  const waiting = assert.rejects(list.whenSynced(NEVER), /stopped/);
  await list.stop();
  await waiting;
});
