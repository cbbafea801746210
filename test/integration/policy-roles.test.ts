import assert from 'node:assert/strict';
import {test} from 'node:test';
import {Kubernetes, needsKubernetes} from '../peers/kubernetes.ts';
import {poll} from '../poll.ts';

test('who has a namespace reads its policies, and writes them only if that is granted', async (t) => {
  if (!needsKubernetes(t)) return;
  await using kubernetes = await Kubernetes.start();
  await kubernetes.apply('manifests/crds', 'manifests/base/webhook/roles.yaml');
  await kubernetes.namespace('team');
  const bind = async (name: string, role: string, user: string): Promise<unknown> =>
    await kubernetes.kubectl(['-n', 'team', 'create', 'rolebinding', name, `--clusterrole=${role}`, `--user=${user}`]);
  for (const role of ['view', 'edit', 'admin']) await bind(role, role, role);
  await bind('writer', 'noost-policies-edit', 'writer');
  const may = async (
    user: string,
    verb: string,
    kind: string,
    where = '-nteam',
    ...more: readonly string[]
  ): Promise<boolean> =>
    await kubernetes.kubectl([where, 'auth', 'can-i', verb, `${kind}.noost.dev`, `--as=${user}`, ...more]).then(
      (said) => said.trim() === 'yes',
      () => false, // it exits with 1
    );
  await poll('the roles are put together', async () => await may('admin', 'list', 'imagepolicies'));
  for (const user of ['view', 'edit', 'admin']) {
    assert.ok(await may(user, 'get', 'imagepolicies'), user);
    for (const verb of ['create', 'update', 'patch', 'delete', 'deletecollection'])
      assert.ok(!(await may(user, verb, 'imagepolicies')), `${user} ${verb}`);
  }
  assert.ok(await may('writer', 'create', 'imagepolicies'));
  assert.ok(!(await may('writer', 'create', 'imagepolicies', '-ndefault')));
  assert.ok(!(await may('writer', 'patch', 'imagepolicies', '-nteam', '--subresource=status')));
  for (const user of ['admin', 'writer'])
    for (const kind of ['clusterimagepolicies', 'imagepolicyexceptions'])
      for (const verb of ['get', 'create', 'delete'])
        assert.ok(!(await may(user, verb, kind, '-A')), `${user} ${verb} ${kind}`);
});
