import assert from 'node:assert/strict';
import {after, before, suite, test} from 'node:test';
import {describeTree} from '../node-tree.ts';
import {needs} from '../needs.ts';
import {needsKubernetes} from '../peers/kubernetes.ts';
import {poll} from '../poll.ts';
import {ClusterRig, LOGIN, NAMESPACE, NODES, type Pod} from './rig.ts';
import {daemonSet, deployment, pod} from './workloads.ts';

const AGENTS = 'app.kubernetes.io/component=agent';
/** Scheduling, pulling and starting, on a machine that does much else. */
const POD_MS = 120_000;

let rig: ClusterRig;
/** The nodes' files before there was anything of ours. */
const asFound = new Map<string, readonly string[]>();
let overlay = '';

function isReady({status}: Pod): boolean {
  return status?.containerStatuses?.every(({ready}) => ready) ?? false;
}

async function running(label: string, count: number): Promise<readonly Pod[]> {
  return await poll(
    `${String(count)} pods of ${label} run`,
    async () => {
      const pods = await rig.pods('default', label);
      return pods.length === count && pods.every(isReady) && pods;
    },
    POD_MS,
  );
}

async function agents(): Promise<readonly Pod[]> {
  return await poll(
    'the agents are ready',
    async () => {
      const pods = await rig.pods(NAMESPACE, AGENTS);
      return pods.length === NODES.length && pods.every(isReady) && pods;
    },
    POD_MS,
  );
}

export async function agentOn(node: string): Promise<Pod> {
  return (await agents()).find(({spec}) => spec.nodeName === node) ?? assert.fail(`no agent on ${node}`);
}

async function apply(text: string): Promise<void> {
  await rig.kubernetes.kubectl(['apply', '-f', '-'], text);
}

/** Bytes that both agents gave to their nodes. */
async function served(): Promise<number> {
  const all = await agents();
  const counts = await Promise.all(all.map(async (one) => await rig.metric(one, 'noost_response_bytes_total')));
  return counts.reduce((sum, one) => sum + one, 0);
}

suite('on a cluster', {timeout: 1_500_000}, () => {
  let isHere = false;
  before(
    async () => {
      const context = {skip: () => undefined} as never;
      isHere = needsKubernetes(context, {nodes: 2}) && needs(context, 'buildah', 'mmdebstrap', 'docker-registry');
      if (!isHere) return;
      rig = await ClusterRig.start();
      for (const node of NODES) asFound.set(node, await describeTree(rig.certsOf(node)));
    },
    {timeout: 1_200_000},
  );
  after(async () => await rig?.[Symbol.asyncDispose]());

  test('applied once the agents become ready; applied again nothing changes', async (t) => {
    if (!isHere) return t.skip('needs a cluster');
    overlay = await rig.overlay('overlays/agent-only', {
      upstreams: [
        {host: 'docker.io', url: rig.hub.url},
        {host: 'quay.io', url: rig.quay.url},
        {host: 'registry.corp', url: rig.corp.url},
        {host: 'vault.corp', url: rig.corp.url},
        {host: 'broken.corp', url: 'http://10.77.0.1:9'},
      ],
      kubernetes: {pullSecrets: ['noost-registries']},
    });
    await rig.kubernetes.kubectl(['apply', '-k', overlay]);
    await agents();
    const again = await rig.kubernetes.kubectl(['apply', '-k', overlay]);
    assert.doesNotMatch(again, /created|configured/);
    await rig.kubernetes.kubectl(['diff', '-k', overlay]); // exits with 1 if there is any
  });

  test('pods of a Deployment and a DaemonSet get their images through the agents', async (t) => {
    if (!isHere) return t.skip('needs a cluster');
    await rig.push(rig.hub, 'library/greeter');
    await rig.push(rig.quay, 'team/logger');
    await rig.hub.takeEntries();
    await rig.quay.takeEntries();
    await apply(deployment('greeter', 'greeter:1', 4));
    await apply(daemonSet('logger', 'quay.io/team/logger:1'));
    await running('app=greeter', 4);
    await running('app=logger', NODES.length);
    for (const registry of [rig.hub, rig.quay]) {
      const entries = await registry.takeEntries();
      assert.ok(entries.length > 0);
      for (const {request, userAgent} of entries) assert.match(userAgent, /^noost\//, request);
    }
    assert.ok((await served()) > 1_000_000);
  });

  test('a private image comes with the login from the Secret, and goes to nobody on the node but its runtime', async (t) => {
    if (!isHere) return t.skip('needs a cluster');
    await rig.push(rig.corp, 'secret/app');
    const login = [`--docker-username=${LOGIN.username}`, `--docker-password=${LOGIN.password}`];
    const secret = ['create', 'secret', 'docker-registry', 'noost-registries', '--docker-server=registry.corp'];
    await rig.kubernetes.kubectl(['-n', NAMESPACE, ...secret, ...login]);
    await poll(
      'the pod runs',
      async () => {
        await apply(pod('private', 'registry.corp/secret/app:1', {nodeName: 'n1'}));
        return (await rig.pods('default', 'app=private')).every(isReady);
      },
      POD_MS,
    );
    const url = 'http://127.0.0.1:5055/v2/secret/app/manifests/1?ns=registry.corp';
    const answer = await rig.kubernetes.on('n1', ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', url]);
    assert.equal(answer, '404');
  });
});
