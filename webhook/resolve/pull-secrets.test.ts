import assert from 'node:assert/strict';
import {test} from 'node:test';
import {NAME, newUpstreamRig, newUpstreams, settings} from '../../test/upstream-rig.ts';
import {PullSecrets} from './pull-secrets.ts';

const never = new AbortController().signal;

function secretFor(host: string, password: string): string {
  return JSON.stringify({auths: {[host]: {username: 'user', password}}});
}

interface SecretsRig extends AsyncDisposable {
  readonly secrets: PullSecrets;
  readonly read: string[];
  readonly failures: string[];
  head(namespace: string, names: readonly string[]): Promise<string>;
}

async function newRig(secrets: Readonly<Record<string, string>>): Promise<SecretsRig> {
  const rig = await newUpstreamRig({auth: 'bearer'});
  const {digest} = rig.fake.content.addImage('acme/app', 'v1');
  const [read, failures]: [string[], string[]] = [[], []];
  const pull = new PullSecrets({
    read: (namespace, name) => {
      read.push(`${namespace}/${name}`);
      const found = secrets[`${namespace}/${name}`];
      return name === 'forbidden' ? Promise.reject(new Error('forbidden')) : Promise.resolve(found);
    },
    newClient: (credentials) => newUpstreams([settings({url: rig.fake.url})], {credentials}),
    failed: (namespace, name, message) => failures.push(`${namespace}/${name}: ${message}`),
  });
  return {
    secrets: pull,
    read,
    failures,
    head: async (namespace, names) => {
      const rights = await pull.rightsFor(NAME, {namespace, secrets: names}, never);
      if (rights === undefined) return 'no rights';
      const answer = rights
        .upstream(NAME)
        .headManifest(NAME, 'v1', {authority: 'node', allowPrivate: false, signal: never});
      return answer.then(
        (head) => (head.digest === digest ? 'resolved' : 'wrong'),
        (error: unknown) => (error as Error).message,
      );
    },
    [Symbol.asyncDispose]: async () => {
      pull.close();
      await rig[Symbol.asyncDispose]();
    },
  };
}

test("a pod's own secret opens what nobody else's does", async () => {
  await using rig = await newRig({'a/good': secretFor('reg.test', 'secret'), 'b/bad': secretFor('reg.test', 'wrong')});
  assert.equal(await rig.head('a', ['good']), 'resolved');
  assert.match(await rig.head('b', ['bad']), /401|403/);
});

test('the first secret that has a login for the registry is used, and a secret is read once in a while only', async () => {
  await using rig = await newRig({
    'a/other': secretFor('other.example', 'secret'),
    'a/good': secretFor('reg.test', 'secret'),
  });
  assert.equal(await rig.head('a', ['missing', 'other', 'good']), 'resolved');
  assert.equal(await rig.head('a', ['missing', 'other', 'good']), 'resolved');
  assert.deepEqual(rig.read, ['a/missing', 'a/other', 'a/good']);
  assert.equal(await rig.head('a', ['other']), 'no rights');
});

test('rights are of one namespace: the same login in another is another', async () => {
  await using rig = await newRig({
    'a/good': secretFor('reg.test', 'secret'),
    'b/good': secretFor('reg.test', 'secret'),
  });
  const [a, again, b] = await Promise.all(
    ['a', 'a', 'b'].map((namespace) => rig.secrets.rightsFor(NAME, {namespace, secrets: ['good']}, never)),
  );
  assert.equal(a?.key, again?.key);
  assert.notEqual(a?.key, b?.key);
});

test('a secret that cannot be read, or is none, is told without its content and asked for again', async () => {
  await using rig = await newRig({'a/broken': 'not json: hunter2'});
  assert.equal(await rig.head('a', ['forbidden', 'broken']), 'no rights');
  assert.equal(await rig.head('a', ['forbidden']), 'no rights');
  assert.deepEqual(rig.read, ['a/forbidden', 'a/broken', 'a/forbidden']);
  assert.doesNotMatch(rig.failures.join(), /hunter2/);
  assert.equal(rig.failures.length, 3);
});
