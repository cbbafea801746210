import assert from 'node:assert/strict';
import {execFile} from 'node:child_process';
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, test} from 'node:test';
import {stringify} from 'yaml';
import * as resources from '../../kube/resources.ts';
import {FakeKube} from '../../test/fake-kube.ts';
import {clusterPolicy, exception, namespacedPolicy} from '../policy/rig.ts';

// What noost check and noost explain read from a cluster.

let folder: string;
let fake: FakeKube;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noost-live-'));
  fake = await FakeKube.start();
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'c',
    contexts: [{name: 'c', context: {cluster: 'c', user: 'u'}}],
    clusters: [{name: 'c', cluster: {server: fake.cluster.server.origin}}],
    users: [{name: 'u', user: {}}],
  };
  await writeFile(join(folder, 'kubeconfig'), stringify(config));
  await writeFile(
    join(folder, 'policy.yaml'),
    stringify(
      clusterPolicy({
        namespaceSelector: {matchLabels: {env: 'prod'}},
        rules: [{name: 'ours', match: [{registry: 'ghcr.io'}], action: 'Allow'}],
      }),
    ),
  );
  fake.put(resources.NAMESPACES, {metadata: {name: 'shop', labels: {env: 'prod'}}});
  fake.put(resources.NAMESPACES, {metadata: {name: 'other'}});
  const template = {spec: {containers: [{name: 'c', image: 'quay.io/x:1'}]}};
  fake.put(resources.DEPLOYMENTS, {metadata: {name: 'web', namespace: 'shop'}, spec: {template}});
  const owned = {
    ownerReferences: [{apiVersion: 'apps/v1', kind: 'Deployment', name: 'web', uid: 'u', controller: true}],
  };
  fake.put(resources.REPLICA_SETS, {metadata: {name: 'web-1', namespace: 'shop', ...owned}, spec: {template}});
  fake.put(resources.PODS, {
    metadata: {name: 'old', namespace: 'shop'},
    spec: {containers: [{name: 'c', image: 'ghcr.io/x:1'}]},
  });
  fake.put(resources.PODS, {metadata: {name: 'not-asked', namespace: 'other'}, spec: template.spec});
});
after(async () => {
  await fake[Symbol.asyncDispose]();
  await rm(folder, {recursive: true});
});

function noost(...args: readonly string[]): Promise<{code: unknown; out: string; err: string}> {
  const cli = join(import.meta.dirname, '..', '..', 'proc', 'cli.ts');
  const env = {PATH: process.env['PATH'], HOME: folder, NO_COLOR: '1'};
  return new Promise((resolve) => {
    execFile(process.execPath, [cli, ...args, '--kubeconfig', 'kubeconfig'], {cwd: folder, env}, (error, out, err) =>
      resolve({code: error === null ? 0 : error.code, out, err}),
    );
  });
}

test('--live judges pods and workloads of one namespace by new policies, once each, with the labels it really has', async () => {
  const {code, out, err} = await noost('check', '-f', 'policy.yaml', '--live', 'shop');
  assert.equal(code, 1, err);
  assert.match(out, /^refused +Deployment shop\/web spec\.template\.spec\.containers\[0\]\.image +quay\.io\/x:1 /m);
  assert.match(out, /^admitted +Pod shop\/old /m);
  assert.match(out, /^2 images in 2 objects: 1 refused, 0 with a warning$/m);
  assert.equal((await noost('check', '-f', 'policy.yaml', '--live', 'other')).code, 0);
});

test("without -f the cluster's policies and exceptions judge; none there is said, a cluster that fails is exit code 2", async () => {
  const args = ['explain', 'quay.io/x:1', '-n', 'team-a'] as const;
  const none = await noost(...args);
  assert.equal(none.code, 0, none.err);
  assert.match(none.out, /^No policy applies to such a pod\.$/m);
  fake.put(resources.CLUSTER_IMAGE_POLICIES, {...clusterPolicy({})});
  assert.equal((await noost(...args)).code, 1);
  fake.put(resources.IMAGE_POLICY_EXCEPTIONS, {...exception({expires: '2999-12-31T00:00:00Z'})});
  const lifted = await noost(...args);
  assert.equal(lifted.code, 0, lifted.out);
  assert.match(lifted.out, /exception incident-42/);
  fake.put(resources.IMAGE_POLICIES, {...namespacedPolicy({})});
  const tightened = await noost(...args);
  assert.equal(tightened.code, 1);
  assert.match(tightened.out, /^ImagePolicy team-a\/local +Enforce +no /m);
  fake.failNext(403);
  const refused = await noost(...args);
  assert.deepEqual([refused.code, refused.out], [2, '']);
  assert.match(refused.err, /^noost: /);
});
