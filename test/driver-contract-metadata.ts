import assert from 'node:assert/strict';
import {
  SETTLED_BEFORE,
  type Driver,
  type LinkState,
  type ManifestRecord,
  type TagMove,
} from '../agent/hosted/contract.ts';
import type {Digest} from '../oci/digest.ts';
import {newDigest, REPOSITORY, type Check} from './driver-under-test.ts';

const ALL = {after: '', limit: 1_000};

/** Tags of the contract suite. */
export function checkTags(check: Check): void {
  check('of two moves of a tag from the same state one is done', async ({driver: {metadata}}) => {
    const moves = [newDigest(), newDigest(), newDigest()].map((to) => move(undefined, to));
    const done = await Promise.all(moves.map((one) => metadata.moveTag(REPOSITORY, 'v1', one)));
    assert.equal(done.filter(Boolean).length, 1);
    const winner = moves[done.indexOf(true)];
    assert.equal((await metadata.tag(REPOSITORY, 'v1'))?.digest, winner?.to);
    assert.deepEqual(await metadata.history(REPOSITORY, 'v1'), [winner]);
  });
  check('a tag that many move at once has an unbroken history, also after a restart', async (under) => {
    const {metadata} = under.driver;
    await Promise.all(
      Array.from({length: 30}, async (_, i) => {
        for (;;) {
          const from = (await metadata.tag(REPOSITORY, 'main'))?.digest;
          if (await metadata.moveTag(REPOSITORY, 'main', move(from, newDigest(), `writer ${i}`))) return;
        }
      }),
    );
    await under.restart();
    const history = await under.driver.metadata.history(REPOSITORY, 'main');
    assert.equal(new Set(history.map(({by}) => by)).size, 30);
    for (const [i, {from}] of history.entries()) assert.equal(from, history[i + 1]?.to);
    assert.equal((await under.driver.metadata.tag(REPOSITORY, 'main'))?.digest, history[0]?.to);
  });
  check('a tag that was removed is gone, and its history stays', async (under) => {
    const digest = newDigest();
    const moves = [move(undefined, digest, 'alice'), move(digest, undefined, 'bob'), move(undefined, digest, 'alice')];
    for (const one of moves.slice(0, 2)) assert.ok(await under.driver.metadata.moveTag(REPOSITORY, 'v1', one));
    await under.restart();
    const {metadata} = under.driver;
    assert.equal(await metadata.tag(REPOSITORY, 'v1'), undefined);
    assert.deepEqual(await metadata.tags(REPOSITORY, ALL), []);
    assert.ok(!(await metadata.moveTag(REPOSITORY, 'v1', move(digest, newDigest()))), 'it is not at what it was');
    assert.ok(await metadata.moveTag(REPOSITORY, 'v1', moves[2] as TagMove));
    assert.deepEqual(await metadata.history(REPOSITORY, 'v1'), moves.toReversed());
  });
  check('all moves of a repository are known, also of tags that are gone', async (under) => {
    const [kept, gone] = [newDigest(), newDigest()];
    for (const [tag, one] of [
      ['a', move(undefined, kept)],
      ['b', move(undefined, gone)],
      ['b', move(gone, undefined)],
    ] as const)
      assert.ok(await under.driver.metadata.moveTag(REPOSITORY, tag, one));
    await under.restart();
    const histories = await all(under.driver.metadata.histories(REPOSITORY));
    assert.deepEqual(
      histories.toSorted((x, y) => x.length - y.length),
      [[move(undefined, kept)], [move(gone, undefined), move(undefined, gone)]],
    );
    assert.deepEqual(await all(under.driver.metadata.histories('no/such')), []);
  });
  check('tags come in ASCII order, a page at a time', async ({driver: {metadata}}) => {
    for (const tag of ['b', 'a', 'B', '_1', '10', '9'])
      await metadata.moveTag(REPOSITORY, tag, move(undefined, newDigest()));
    assert.deepEqual(await metadata.tags(REPOSITORY, ALL), ['10', '9', 'B', '_1', 'a', 'b']);
    assert.deepEqual(await metadata.tags(REPOSITORY, {after: 'A', limit: 2}), ['B', '_1']);
    assert.deepEqual(await metadata.tags('no/such', ALL), []);
  });
}

/** Manifests of the contract suite. */
export function checkManifests(check: Check): void {
  check('manifests and referrers are there after a restart, and not after they were removed', async (under) => {
    const subject = newDigest();
    const records = Array.from({length: 5}, () => manifest({subject, artifactType: 'application/x'}));
    for (const record of records) await under.driver.metadata.putManifest(REPOSITORY, record);
    await under.driver.metadata.putManifest(REPOSITORY, manifest({}));
    await under.restart();
    const {metadata} = under.driver;
    const sorted = records.toSorted((a, b) => (a.digest < b.digest ? -1 : 1));
    assert.deepEqual(await metadata.referrers(REPOSITORY, subject, {after: '', limit: 3}), sorted.slice(0, 3));
    const after = sorted[2]?.digest ?? '';
    assert.deepEqual(await metadata.referrers(REPOSITORY, subject, {after, limit: 10}), sorted.slice(3));
    assert.deepEqual(await metadata.referrers('other', subject, ALL), []);
    const [first] = sorted as [ManifestRecord];
    assert.deepEqual(await metadata.manifest(REPOSITORY, first.digest), first);
    assert.ok(await metadata.removeManifest(REPOSITORY, first.digest));
    assert.ok(!(await metadata.removeManifest(REPOSITORY, first.digest)));
    assert.equal(await metadata.manifest(REPOSITORY, first.digest), undefined);
    assert.deepEqual(await metadata.referrers(REPOSITORY, subject, ALL), sorted.slice(1));
    assert.equal((await all(metadata.manifests(REPOSITORY))).length, 5);
  });
  check('a manifest that was put again is not removed as it was seen before', async ({driver: {metadata}}) => {
    const seen = manifest({pushedAt: 1});
    await metadata.putManifest(REPOSITORY, seen);
    await metadata.putManifest(REPOSITORY, {...seen, pushedAt: 2});
    assert.ok(!(await metadata.removeManifest(REPOSITORY, seen.digest, seen)));
    assert.ok(await metadata.removeManifest(REPOSITORY, seen.digest, {...seen, pushedAt: 2}));
    assert.ok(!(await metadata.removeManifest(REPOSITORY, seen.digest, seen)));
  });
  check('repositories are those that have something, in ASCII order', async (under) => {
    for (const name of ['b/c', 'b', 'a-b', 'a/b'])
      await under.driver.metadata.putManifest(name, manifest({digest: newDigest()}));
    const linked = newDigest();
    await under.driver.metadata.addLink('z', linked, 'alice');
    await under.restart();
    const {metadata} = under.driver;
    assert.deepEqual(await metadata.repositories(ALL), ['a-b', 'a/b', 'b', 'b/c', 'z']);
    assert.deepEqual(await metadata.repositories({after: 'a/b', limit: 2}), ['b', 'b/c']);
    await metadata.removeLink('z', linked);
    assert.ok(!(await metadata.hasRepository('z')));
    assert.ok(await metadata.hasRepository('b'));
  });
}

/** Links of the contract suite. */
export function checkLinks(check: Check): void {
  const seen = async ({metadata}: Driver, digest: Digest): Promise<LinkState> => {
    const found = (await all(metadata.links(REPOSITORY))).find((link) => link.digest === digest);
    assert.ok(found);
    return found;
  };
  const isClaimed = async (driver: Driver, digest: Digest): Promise<boolean> =>
    (await seen(driver, digest)).claimedAt >= SETTLED_BEFORE;
  const put = (digests: readonly Digest[], isNew = true): {digests: readonly Digest[]; isNew: boolean} => ({
    digests,
    isNew,
  });
  check('a link is claimed until the push has ended, also over a restart', async (under) => {
    const [digest, other] = [newDigest(), newDigest()];
    for (const one of [digest, other]) await under.driver.metadata.addLink(REPOSITORY, one, 'alice');
    await under.driver.metadata.settle(REPOSITORY, 'alice', put([digest]));
    assert.ok(!(await isClaimed(under.driver, digest)));
    await under.restart();
    assert.ok(!(await isClaimed(under.driver, digest)));
    assert.ok(await isClaimed(under.driver, other));
    assert.ok(!(await under.driver.metadata.claim(REPOSITORY, newDigest(), 'alice')), 'there is no such link');
    // Nobody knows any more whose it is: it is not the next one's to take back.
    assert.ok(await under.driver.metadata.claim(REPOSITORY, other, 'alice'));
    await under.driver.metadata.settle(REPOSITORY, 'alice', put([other]));
    assert.ok(await isClaimed(under.driver, other));
  });
  check('of two pushes that rely on a link the second keeps it when the first has ended', async ({driver}) => {
    const {metadata} = driver;
    for (const users of [
      ['alice', 'alice'],
      ['alice', 'bob'],
      [undefined, 'bob'],
    ]) {
      const digest = newDigest();
      await metadata.addLink(REPOSITORY, digest, users[0]); // sent by the first
      assert.ok(await metadata.claim(REPOSITORY, digest, users[1])); // found by the second
      await metadata.settle(REPOSITORY, users[0], put([digest]));
      assert.ok(await isClaimed(driver, digest));
      await metadata.settle(REPOSITORY, users[1], put([digest]));
      assert.ok(!(await isClaimed(driver, digest)));
    }
  });
  check('a manifest takes back only what its own push has claimed', async ({driver}) => {
    const {metadata} = driver;
    const [config, shared, own] = [newDigest(), newDigest(), newDigest()];
    for (const digest of [config, shared]) await metadata.addLink(REPOSITORY, digest, 'alice');
    await metadata.settle(REPOSITORY, 'alice', put([config, shared]));
    // A push that is under way: it has found one and sent another.
    assert.ok(await metadata.claim(REPOSITORY, shared, 'alice'));
    await metadata.addLink(REPOSITORY, own, 'alice');
    for (const [by, isNew] of [
      ['bob', false], // another tag
      ['bob', true], // other annotations
      ['alice', false],
      ['alice', true],
    ] as const) {
      await metadata.settle(REPOSITORY, by, put([config, shared], isNew));
      assert.ok(await isClaimed(driver, shared), `by ${by}, ${isNew ? 'new' : 'there before'}`);
    }
    assert.ok(await metadata.claim(REPOSITORY, config, 'alice'));
    await metadata.settle(REPOSITORY, 'alice', put([config, shared], false));
    assert.ok(await isClaimed(driver, shared), 'its push has claimed more than this');
    await metadata.settle(REPOSITORY, 'alice', put([config, shared, own]));
    for (const digest of [config, shared, own]) assert.ok(!(await isClaimed(driver, digest)));
    for (const digest of [config, shared]) assert.ok(await metadata.claim(REPOSITORY, digest, 'alice'));
    await metadata.settle(REPOSITORY, 'alice', put([config, shared], false));
    assert.ok(!(await isClaimed(driver, shared)), 'the same image once more');
  });
  check('images of one push that share a layer leave no claim', async ({driver}) => {
    const {metadata} = driver;
    const [shared, one, two] = [newDigest(), newDigest(), newDigest()];
    for (const digest of [shared, one, two]) await metadata.addLink(REPOSITORY, digest, 'alice');
    await metadata.settle(REPOSITORY, 'alice', put([one, shared]));
    await metadata.settle(REPOSITORY, 'alice', put([two, shared]));
    for (const digest of [shared, one, two]) assert.ok(!(await isClaimed(driver, digest)));
  });
  check('a refused manifest leaves what was sent before it claimed', async ({driver}) => {
    const {metadata} = driver;
    const digest = newDigest();
    await metadata.addLink(REPOSITORY, digest, 'alice');
    const letGo = await metadata.rely(REPOSITORY, digest);
    assert.ok(letGo);
    letGo();
    assert.ok(await isClaimed(driver, digest));
    await metadata.settle(REPOSITORY, 'alice', put([digest]));
    assert.ok(!(await isClaimed(driver, digest)));
  });
  check('collection takes no link that a manifest which is being put names', async ({driver}) => {
    const {metadata} = driver;
    const digest = newDigest();
    await metadata.addLink(REPOSITORY, digest, 'alice');
    await metadata.settle(REPOSITORY, 'alice', put([digest]));
    const before = await seen(driver, digest);
    const [one, two] = [await metadata.rely(REPOSITORY, digest), await metadata.rely(REPOSITORY, digest)];
    assert.ok(one && two);
    one();
    one();
    assert.ok(!(await metadata.collectLink(REPOSITORY, await seen(driver, digest))));
    two();
    assert.ok(!(await metadata.collectLink(REPOSITORY, before)), 'the manifest may be there since it looked');
    assert.ok(await metadata.collectLink(REPOSITORY, await seen(driver, digest)));
    assert.equal(await metadata.rely(REPOSITORY, digest), undefined);
  });
  check(
    'collection takes no link that was claimed since it looked, nor one that was let go of again',
    async ({driver}) => {
      const {metadata} = driver;
      const digest = newDigest();
      await metadata.addLink(REPOSITORY, digest, 'alice');
      await metadata.settle(REPOSITORY, 'alice', put([digest]));
      const before = await seen(driver, digest);
      await metadata.claim(REPOSITORY, digest, 'alice');
      assert.ok(!(await metadata.collectLink(REPOSITORY, before)));
      await metadata.settle(REPOSITORY, 'alice', put([digest]));
      assert.ok(
        !(await metadata.collectLink(REPOSITORY, before)),
        'another push has come and gone: its manifest needs it',
      );
      assert.ok(await metadata.collectLink(REPOSITORY, await seen(driver, digest)));
      assert.ok(!(await metadata.hasLink(REPOSITORY, digest)));
      assert.ok(!(await metadata.claim(REPOSITORY, digest, 'alice')));
    },
  );
  check('who has a blob is known, and deleting it in one repository leaves it in the other (A-064)', async (under) => {
    const digest = newDigest();
    for (const name of ['one', 'two', 'three']) await under.driver.metadata.addLink(name, digest, 'alice');
    await under.restart();
    const {metadata} = under.driver;
    assert.deepEqual((await metadata.holders(digest, 10)).toSorted(), ['one', 'three', 'two']);
    assert.equal((await metadata.holders(digest, 2)).length, 2);
    assert.ok(await metadata.removeLink('one', digest));
    assert.ok(!(await metadata.removeLink('one', digest)));
    assert.ok(await metadata.hasLink('two', digest));
    assert.ok(!(await metadata.hasLink('one', digest)));
  });
}

function manifest(what: Partial<ManifestRecord>): ManifestRecord {
  return {
    digest: newDigest(),
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    sizeBytes: 7,
    children: [newDigest()],
    subject: undefined,
    artifactType: undefined,
    pushedAt: 1,
    ...what,
  };
}

function move(from: Digest | undefined, to: Digest | undefined, by?: string): TagMove {
  // As JSON has it: what is not said is not there.
  return JSON.parse(JSON.stringify({at: 1, by, from, to})) as TagMove;
}

async function all<T>(entries: AsyncIterable<T>): Promise<readonly T[]> {
  const found: T[] = [];
  for await (const entry of entries) found.push(entry);
  return found;
}
