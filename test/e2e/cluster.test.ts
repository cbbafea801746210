import assert from 'node:assert/strict';
import {join} from 'node:path';
import process from 'node:process';
import {after, before, suite, test, type TestContext} from 'node:test';
import {stringify} from 'yaml';
import {MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS} from '../../kube/resources.ts';
import {describeTree} from '../node-tree.ts';
import {needs} from '../needs.ts';
import {needsKubernetes} from '../peers/kubernetes.ts';
import {run} from '../peers/run.ts';
import {poll} from '../poll.ts';
import {kubeletOf, pidOf} from './chaos.ts';
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

async function agentOn(node: string): Promise<Pod> {
  return (await agents()).find(({spec}) => spec.nodeName === node) ?? assert.fail(`no agent on ${node}`);
}

/** The program, as a person at a laptop runs it. @throws {Error} with what it wrote if it fails. */
async function noost(...words: readonly string[]): Promise<string> {
  const env = {...process.env, KUBECONFIG: rig.kubernetes.kubeconfig};
  return (await run(join(import.meta.dirname, '../../noost'), words, {env, timeoutMs: 400_000})).toString();
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

const UPSTREAMS = (): object[] => [
  {host: 'docker.io', url: rig.hub.url},
  {host: 'quay.io', url: rig.quay.url},
  {host: 'registry.corp', url: rig.corp.url},
  {host: 'vault.corp', url: rig.corp.url},
  {host: 'broken.corp', url: 'http://10.77.0.1:9'}, // nothing is there: the agent answers 503
];

const DENIAL = {
  apiVersion: 'noost.dev/v1alpha1',
  kind: 'ClusterImagePolicy',
  metadata: {name: 'known-images'},
  spec: {
    default: 'Allow',
    rules: [
      {
        name: 'no-strays',
        match: [{registry: 'quay.io', repository: 'stray/**'}],
        action: 'Deny',
        message: 'strays are not for this cluster: ask the harbour master',
      },
    ],
  },
};

/** Makes a pod on a node and waits until it runs. @returns how long that took, in seconds. */
async function timed(name: string, image: string, node: string): Promise<number> {
  const begun = performance.now();
  await apply(pod(name, image, {nodeName: node}));
  await running(`app=${name}`, 1);
  return (performance.now() - begun) / 1000;
}

suite('on a cluster', {timeout: 1_500_000}, () => {
  let missing: string | undefined;
  before(
    async () => {
      const context = {skip: (why: string) => (missing = why)} as unknown as TestContext; // hooks have none
      if (!needsKubernetes(context, {nodes: 2}) || !needs(context, 'buildah', 'mmdebstrap', 'docker-registry', 'curl'))
        return;
      rig = await ClusterRig.start();
      for (const node of NODES) asFound.set(node, await describeTree(rig.certsOf(node)));
    },
    {timeout: 1_200_000},
  );
  after(async () => await rig?.[Symbol.asyncDispose]());

  const onCluster = (name: string, work: (t: TestContext) => Promise<void>): void =>
    void test(name, async (t) => {
      if (missing !== undefined) return t.skip(missing);
      await work(t);
    });

  onCluster(
    'applied once everything becomes ready and the webhook is armed; applied again nothing changes',
    async () => {
      const agent = {upstreams: UPSTREAMS(), kubernetes: {pullSecrets: ['noost-registries']}};
      overlay = await rig.overlay('', {agent, webhook: {upstreams: UPSTREAMS()}});
      await rig.kubernetes.kubectl(['apply', '-k', overlay]).catch(async () => {
        // CRDs and what is of their kinds cannot come in one breath; ours hold none, so that one breath is enough.
        assert.fail(await rig.kubernetes.kubectl(['apply', '-k', overlay]));
      });
      await agents();
      await poll(
        'the webhook is armed',
        async () => (await noost('status')).includes('armed, failurePolicy Fail'),
        POD_MS,
      );
      const again = await rig.kubernetes.kubectl(['apply', '-k', overlay]);
      assert.doesNotMatch(again, /created|configured/);
      await rig.kubernetes.kubectl(['diff', '-k', overlay]); // exits with 1 if there is any
    },
  );

  onCluster('pods of a Deployment and a DaemonSet get their images through the agents, pinned', async () => {
    const greeter = await rig.push(rig.hub, 'library/greeter');
    await rig.push(rig.quay, 'team/logger');
    await rig.hub.takeEntries();
    await rig.quay.takeEntries();
    await apply(deployment('greeter', 'greeter:1', 4));
    await apply(daemonSet('logger', 'quay.io/team/logger:1'));
    const greeters = await running('app=greeter', 4);
    await running('app=logger', NODES.length);
    for (const {spec} of greeters) assert.equal(spec.containers[0]?.image, `greeter:1@${greeter.root.digest}`);
    for (const registry of [rig.hub, rig.quay]) {
      const entries = await registry.takeEntries();
      assert.ok(entries.length > 0);
      for (const {request, userAgent} of entries) assert.match(userAgent, /^noost\//, request);
    }
    assert.ok((await served()) > 1_000_000);
  });

  onCluster('what a policy denies is refused, and kubectl shows why', async () => {
    await rig.push(rig.quay, 'stray/dog');
    await apply(stringify(DENIAL));
    const refused = await poll('it is refused', async () => {
      try {
        await apply(pod('stray', 'quay.io/stray/dog:1'));
        await rig.kubernetes.kubectl(['delete', 'pod', 'stray', '--now']);
        return undefined; // the policy is a moment old
      } catch (error) {
        return (error as Error).message;
      }
    });
    assert.match(refused, /ask the harbour master/);
    assert.match(refused, /known-images/);
  });

  onCluster('a private image comes with the login from the Secret, and goes to nobody but the runtime', async () => {
    await rig.push(rig.corp, 'secret/app');
    const login = [`--docker-username=${LOGIN.username}`, `--docker-password=${LOGIN.password}`];
    const secret = ['create', 'secret', 'docker-registry', 'noost-registries', '--docker-server=registry.corp'];
    await rig.kubernetes.kubectl(['-n', NAMESPACE, ...secret, ...login]);
    const node = 'n1';
    const url = 'http://127.0.0.1:5055/v2/secret/app/manifests/1?ns=registry.corp';
    const ask = async (...more: readonly string[]): Promise<string> =>
      await rig.kubernetes.on(node, ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', ...more, url]);
    const proof = (await rig.kubernetes.on(node, ['cat', '/var/lib/noost/node-secret'])).trim();
    await poll('the login has arrived', async () => (await ask('-H', `Noost-Node-Secret: ${proof}`)) === '200');
    await timed('private', 'registry.corp/secret/app:1', node);
    assert.equal(await ask(), '404');
    assert.equal(await ask('-H', 'Noost-Node-Secret: 0123456789abcdef'), '404');
  });

  onCluster("a pod whose own login is wrong gets the registry's own error", async () => {
    const login = ['--docker-username=robot', '--docker-password=wrong'];
    const secret = ['create', 'secret', 'docker-registry', 'wrong', '--docker-server=vault.corp'];
    await rig.kubernetes.kubectl([...secret, ...login]);
    await apply(pod('locked-out', 'vault.corp/secret/app:1', {nodeName: 'n2', imagePullSecrets: [{name: 'wrong'}]}));
    const message = await poll(
      'the kubelet tells',
      async () => /Failed to pull.*/.exec(await rig.kubernetes.kubectl(['get', 'events']))?.[0],
      POD_MS,
    );
    assert.match(message, /401 Unauthorized/);
    await rig.kubernetes.kubectl(['delete', 'pod', 'locked-out', '--now']);
  });

  onCluster('while agents and webhook are replaced, every pod starts', async () => {
    const first = await rig.push(rig.hub, 'library/roller', '0');
    assert.ok(first);
    await rig.kubernetes.kubectl([
      '-n',
      NAMESPACE,
      'rollout',
      'restart',
      'daemonset/noost-agent',
      'deployment/noost-webhook',
    ]);
    for (let i = 0; i < 10; i++) {
      await rig.push(rig.hub, 'library/roller', String(i));
      await apply(pod(`roller-${String(i)}`, `roller:${String(i)}`));
    }
    for (const what of ['daemonset/noost-agent', 'deployment/noost-webhook'])
      await rig.kubernetes.kubectl(['-n', NAMESPACE, 'rollout', 'status', what, '--timeout=180s']);
    for (let i = 0; i < 10; i++) await running(`app=roller-${String(i)}`, 1);
  });

  onCluster('an agent that is killed, hangs or cannot help costs a pod seconds, not its image', async (t) => {
    const node = 'n1';
    for (const name of ['killed', 'stopped', 'healthy']) await rig.push(rig.hub, `library/${name}`);
    const healthy = await timed('healthy', 'healthy:1', node);
    const agent = await agentOn(node);
    process.kill(await pidOf(rig, agent), 'SIGKILL');
    const killed = await timed('killed', 'killed:1', node);
    const again = await agentOn(node);
    const restarts = again.status?.containerStatuses?.[0]?.restartCount ?? 0;
    process.kill(await pidOf(rig, again), 'SIGSTOP');
    const stopped = await timed('stopped', 'stopped:1', node);
    const after = await poll(
      'the agent that hung is replaced',
      async () => {
        const now = await agentOn(node);
        return (now.status?.containerStatuses?.[0]?.restartCount ?? 0) > restarts && now;
      },
      POD_MS,
    );
    assert.ok(after);
    await rig.push(rig.hub, 'only/elsewhere');
    const unavailable = await timed('unavailable', 'broken.corp/only/elsewhere:1', node);
    t.diagnostic(
      `seconds from kubectl apply to running: ${Object.entries({healthy, killed, stopped, unavailable})
        .map(([what, seconds]) => `${what} ${seconds.toFixed(1)}`)
        .join(', ')}`,
    );
  });

  onCluster(
    'a node is drained, another is lost: pods go on elsewhere, and uninstall does not pass over it',
    async () => {
      await rig.kubernetes.kubectl([
        'drain',
        'n2',
        '--ignore-daemonsets',
        '--force',
        '--delete-emptydir-data',
        '--timeout=120s',
      ]);
      const all = await running('app=greeter', 4);
      assert.ok(all.every(({spec}) => spec.nodeName === 'n1'));
      await rig.kubernetes.kubectl(['uncordon', 'n2']);
      const kubelet = await kubeletOf(rig, 'n2');
      process.kill(kubelet, 'SIGSTOP');
      try {
        await rig.kubernetes.kubectl(['wait', '--for=condition=Ready=Unknown', 'node/n2', '--timeout=120s']);
        await timed('survivor', 'greeter:1', 'n1');
        await assert.rejects(noost('uninstall', '--yes'), /n2: the node is not ready/);
        assert.deepEqual(await describeTree(rig.certsOf('n1')), asFound.get('n1'));
      } finally {
        process.kill(kubelet, 'SIGCONT');
      }
      await rig.kubernetes.kubectl(['wait', '--for=condition=Ready', 'node/n2', '--timeout=120s']);
    },
  );

  onCluster('uninstalled, every node is as it was, byte for byte, and pods still pull', async () => {
    await noost('uninstall', '--yes');
    for (const node of NODES) assert.deepEqual(await describeTree(rig.certsOf(node)), asFound.get(node));
    await rig.kubernetes.kubectl(['delete', '-k', overlay, '--timeout=180s']);
    for (const type of [MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS])
      assert.deepEqual((await rig.kubernetes.client.list(type)).items, []);
    for (const node of NODES) {
      assert.deepEqual(await describeTree(rig.certsOf(node)), asFound.get(node));
      await rig.push(rig.hub, `library/after-${node}`);
      await timed(`after-${node}`, `after-${node}:1`, node);
    }
  });
});
