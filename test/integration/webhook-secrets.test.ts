import assert from 'node:assert/strict';
import {test} from 'node:test';
import {SECRETS} from '../../kube/resources.ts';
import {pod} from '../admission-rig.ts';
import {needsKubernetes} from '../peers/kubernetes.ts';
import {poll} from '../poll.ts';
import {WebhookCluster} from '../webhook-cluster.ts';

/** What the fake registry knows its user by. */
const PASSWORD = 'secret';

function dockerConfig(host: string, password: string): string {
  return JSON.stringify({auths: {[host]: {auth: Buffer.from(`user:${password}`).toString('base64')}}});
}

test('pull secrets: a private image is pinned with the secret its pod names, where the administrator says so, and nowhere else', async (t) => {
  if (!needsKubernetes(t)) return;
  await using on = await WebhookCluster.start({registryAuth: 'basic', config: {pin: {pullSecrets: ['private-*']}}});
  const {digest} = on.registry.content.addImage('acme/private', 'v1');
  const secret = async (namespace: string, password: string): Promise<void> => {
    const data = {'.dockerconfigjson': Buffer.from(dockerConfig('reg.test', password)).toString('base64')};
    await on.client.create(
      SECRETS,
      {namespace},
      {metadata: {name: 'login'}, type: 'kubernetes.io/dockerconfigjson', data},
    );
  };
  const create = async (namespace: string, secrets: readonly string[]) =>
    on.create(
      namespace,
      pod(['reg.test/acme/private:v1'], {
        metadata: {name: undefined, generateName: 'p-'},
        spec: {imagePullSecrets: secrets.map((name) => ({name}))},
      }),
    );
  for (const name of ['private-a', 'private-b', 'private-c', 'other']) await on.namespace(name);
  await secret('private-a', PASSWORD);
  await secret('private-b', 'wrong');
  await secret('other', PASSWORD);

  const pinned = await create('private-a', ['login']);
  assert.equal(pinned.pod.spec.containers[0]?.image, `reg.test/acme/private:v1@${digest}`);
  assert.deepEqual(pinned.warnings, []);
  // What one namespace's secret has shown is shown to no other: not to one with a wrong login, none, or no permission.
  for (const [namespace, secrets] of [
    ['private-b', ['login']],
    ['private-c', []],
    ['private-c', ['absent']],
    ['other', ['login']],
    ['private-a', []],
  ] as const) {
    const {pod: made, warnings} = await create(namespace, secrets);
    assert.equal(made.spec.containers[0]?.image, 'reg.test/acme/private:v1', namespace);
    assert.match(warnings.join('\n'), /reg\.test\/acme\/private:v1 is not pinned/, namespace);
  }
  await poll('the log is written', () => on.webhook.audit().length >= 12);
  const said = [...on.webhook.child.lines, await on.webhook.metrics()].join('\n');
  for (const password of [PASSWORD, 'wrong']) {
    const encoded = Buffer.from(`user:${password}`).toString('base64');
    assert.ok(!said.includes(encoded));
    assert.ok(!said.includes(`:${password}`));
  }
});
