import assert from 'node:assert/strict';
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test, type TestContext} from 'node:test';
import {SILENT} from '../../kube/log.ts';
import {FakeKube} from '../../test/fake-kube.ts';
import {poll} from '../../test/poll.ts';
import {newUpstreamConfigs} from '../../oci/upstream-build.ts';
import {hasLogin} from './join.ts';
import {reportFailedStart, startKubernetes} from './kubernetes.ts';

const LOGIN = {username: 'a', password: 'b', identityToken: undefined, registryToken: undefined};
const EVENTS = 'POST /api/v1/namespaces/noost-system/events';

/** What a pod has in its environment, for an API server in memory. */
async function environment(t: TestContext, fake: FakeKube): Promise<NodeJS.ProcessEnv> {
  const folder = await mkdtemp(join(tmpdir(), 'noost-kubeconfig-'));
  t.after(async () => await rm(folder, {recursive: true}));
  const context = {name: 'c', context: {cluster: 'c', user: 'u', namespace: 'noost-system'}};
  const kubeconfig = {
    'current-context': 'c',
    contexts: [context],
    clusters: [{name: 'c', cluster: {server: fake.cluster.server.href}}],
    users: [{name: 'u', user: {}}],
  };
  await writeFile(join(folder, 'config'), JSON.stringify(kubeconfig));
  return {
    KUBECONFIG: join(folder, 'config'),
    NODE_NAME: 'n1',
    POD_NAME: 'noost-agent-x',
    POD_NAMESPACE: 'noost-system',
    POD_UID: 'u1',
  };
}

function events(fake: FakeKube): number {
  return fake.requests.filter((one) => one.startsWith(EVENTS)).length;
}

test('a pull secret that is missing is an Event about the pod, once', async (t) => {
  await using fake = await FakeKube.start();
  const config = {pullSecrets: [{namespace: undefined, name: 'absent'}], protectImagesInUse: true, events: true};
  const log = {...SILENT, warn: () => undefined};
  const protect = (): Promise<void> => Promise.resolve();
  const env = await environment(t, fake);
  await using part = await startKubernetes({config, env, userAgent: 'test', protect, onLogins: () => undefined, log});
  await poll('an event', () => events(fake) > 0);
  part.warn('PullSecretInvalid', 'The pull secret noost-system/absent cannot be used: There is no such Secret');
  assert.equal(part.find({registry: 'registry.example', repository: 'a'}), undefined);
  assert.equal(events(fake), 1);
});

test('an agent that cannot start says so in an Event', async (t) => {
  await using fake = await FakeKube.start();
  await reportFailedStart(await environment(t, fake), 'cache.maxSize: expected a size');
  assert.equal(events(fake), 1);
});

test('an agent that cannot start and cannot say so ends all the same', async (t) => {
  const fake = await FakeKube.start();
  const env = await environment(t, fake);
  await fake[Symbol.asyncDispose]();
  await reportFailedStart(env, 'x', 200);
});

test('a login for a mirror counts for what may come from there', () => {
  const upstreams = newUpstreamConfigs([{host: 'docker.io', mirrors: ['https://mirror.example/hub']}]);
  const part = {find: ({registry}: {registry: string}) => (registry === 'mirror.example' ? LOGIN : undefined)};
  assert.equal(hasLogin(part, upstreams, {registry: 'docker.io', repository: 'library/a'}), true);
  assert.equal(hasLogin(part, upstreams, {registry: 'quay.io', repository: 'a'}), false);
  assert.equal(hasLogin(undefined, upstreams, {registry: 'docker.io', repository: 'library/a'}), false);
});
