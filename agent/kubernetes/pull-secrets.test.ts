import assert from 'node:assert/strict';
import {test} from 'node:test';
import {SILENT} from '../../kube/log.ts';
import {SECRETS} from '../../kube/resources.ts';
import {FakeKube} from '../../test/fake-kube.ts';
import {poll} from '../../test/poll.ts';
import {PullSecrets} from './pull-secrets.ts';

const AT = {namespace: 'noost-system', name: 'registries'};
const IMAGE = {registry: 'registry.example', repository: 'app'};

function secret(text: string, key = '.dockerconfigjson', type = 'kubernetes.io/dockerconfigjson') {
  return {metadata: AT, type, data: {[key]: Buffer.from(text).toString('base64')}};
}
function auths(password: string): string {
  return JSON.stringify({auths: {'registry.example': {auth: Buffer.from(`robot:${password}`).toString('base64')}}});
}

function follow(fake: FakeKube) {
  const problems: string[] = [];
  const changes = {count: 0};
  const client = fake.client();
  const secrets = new PullSecrets({
    client,
    names: [AT],
    onChange: () => changes.count++,
    onProblem: (_, problem) => problems.push(problem),
    log: SILENT,
  });
  return {
    secrets,
    problems,
    changes,
    async [Symbol.asyncDispose]() {
      await secrets[Symbol.asyncDispose]();
      client[Symbol.dispose]();
    },
  };
}

test('a login comes, changes and goes with its Secret', async () => {
  await using fake = await FakeKube.start();
  fake.put(SECRETS, secret(auths('one')));
  await using followed = follow(fake);
  const {secrets, changes} = followed;
  await poll('the first login', () => secrets.find(IMAGE)?.password === 'one');
  assert.equal(secrets.find({registry: 'elsewhere.example', repository: 'app'}), undefined);
  const before = changes.count;
  fake.put(SECRETS, secret(auths('two')));
  await poll('the new login', () => secrets.find(IMAGE)?.password === 'two');
  assert.ok(changes.count > before, 'what was refused before is to be asked again');
  fake.remove(SECRETS, AT.name, AT.namespace);
  await poll('no login', () => secrets.find(IMAGE) === undefined);
});

test('only the Secret that is named is asked for', async () => {
  await using fake = await FakeKube.start();
  await using followed = follow(fake);
  await poll('it is looked for', () => followed.secrets.synced);
  for (const request of fake.requests)
    assert.match(
      request,
      /^GET \/api\/v1\/namespaces\/noost-system\/secrets\?.*fieldSelector=metadata\.name%3Dregistries/,
    );
  assert.deepEqual(followed.problems, ['There is no such Secret']);
});

for (const [what, object, expected] of [
  ['of another type', secret('x', 'password', 'Opaque'), /expected the type kubernetes.io\/dockerconfigjson.*Opaque/],
  ['that is no JSON', secret('{"auths": hunter2'), /^\.dockerconfigjson: /],
] as const)
  test(`a Secret ${what} is told of, and nothing of what it holds`, async () => {
    await using fake = await FakeKube.start();
    fake.put(SECRETS, object);
    await using followed = follow(fake);
    await poll('the problem is told', () => followed.problems.length > 0);
    assert.match(followed.problems[0] ?? '', expected);
    assert.doesNotMatch(followed.problems.join(), /hunter2/);
    assert.equal(followed.secrets.find(IMAGE), undefined);
  });

test('while the API server does not answer, what was known stays', async () => {
  await using fake = await FakeKube.start();
  fake.put(SECRETS, secret(auths('one')));
  await using followed = follow(fake);
  await poll('the login', () => followed.secrets.find(IMAGE) !== undefined);
  for (let i = 0; i < 5; i++) fake.failNext(503);
  fake.endWatches('break');
  await poll('it is asked again', () => fake.requests.length >= 4);
  assert.equal(followed.secrets.find(IMAGE)?.password, 'one');
});
