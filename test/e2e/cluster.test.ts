import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import process from 'node:process';
import {after, before, suite, test, type TestContext} from 'node:test';
import {parse, stringify} from 'yaml';
import {MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS} from '../../kube/resources.ts';
import {describeTree} from '../node-tree.ts';
import {needs} from '../needs.ts';
import {needsKubernetes} from '../peers/kubernetes.ts';
import {poll} from '../poll.ts';
import {kubeletOf, pidOf, restarted} from './chaos.ts';
import {withEvidence} from './evidence.ts';
import {ClusterRig, LOGIN, NAMESPACE, NODES, POD_MS} from './rig.ts';
import {daemonSet, deployment, pod} from './workloads.ts';

let rig: ClusterRig;
/** The nodes' files before there was anything of ours. */
const asFound = new Map<string, readonly string[]>();
let overlay = '';

const UPSTREAMS = (): object[] => [
  {host: 'docker.io', url: rig.hub.url},
  {host: 'quay.io', url: rig.quay.url},
  {host: 'registry.corp', url: rig.corp.url},
  {host: 'vault.corp', url: rig.corp.url},
  {host: 'broken.corp', url: 'http://10.77.0.1:9'}, // nothing is there: the agent answers 503
];

interface AuditEntry {
  readonly verb: string;
  readonly requestURI: string;
  readonly responseStatus?: {readonly code?: number};
  readonly user: {readonly username: string};
}

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
      await withEvidence(rig.kubernetes, async () => await work(t));
    });

  onCluster(
    'applied once everything becomes ready and the webhook is armed; applied again nothing changes',
    async () => {
      // The machine that tests may have a fuller disk than a node.
      const cache = {minFreeDisk: '1%'};
      const agent = {upstreams: UPSTREAMS(), kubernetes: {pullSecrets: ['noost-registries']}, cache};
      overlay = await rig.overlay('', {agent, webhook: {upstreams: UPSTREAMS()}});
      await rig.kubernetes.kubectl(['apply', '-k', overlay]).catch(async () => {
        // CRDs and what is of their kinds cannot come in one breath; ours hold none, so that one breath is enough.
        assert.fail(await rig.kubernetes.kubectl(['apply', '-k', overlay]));
      });
      await rig.agents();
      await poll(
        'the webhook is armed',
        async () => (await rig.noost('status')).includes('armed, failurePolicy Fail'),
        POD_MS,
      );
      const again = await rig.kubernetes.kubectl(['apply', '-k', overlay]);
      // kubectl patches a budget's selector with the same selector each time, and calls that so.
      assert.doesNotMatch(
        again.replace('poddisruptionbudget.policy/noost-webhook configured', ''),
        /created|configured/,
      );
      await rig.kubernetes.kubectl(['diff', '-k', overlay]); // exits with 1 if there is any
    },
  );

  onCluster('pods of a Deployment and a DaemonSet get their images through the agents, pinned', async () => {
    const greeter = await rig.push(rig.hub, 'library/greeter');
    await rig.push(rig.quay, 'team/logger');
    await rig.hub.takeEntries();
    await rig.quay.takeEntries();
    await rig.apply(deployment('greeter', 'greeter:1', 4));
    await rig.apply(daemonSet('logger', 'quay.io/team/logger:1'));
    const greeters = await rig.running('app=greeter', 4);
    await rig.running('app=logger', NODES.length);
    for (const {spec} of greeters) assert.equal(spec.containers[0]?.image, `greeter:1@${greeter.root.digest}`);
    for (const registry of [rig.hub, rig.quay]) {
      const entries = await registry.takeEntries();
      assert.ok(entries.length > 0);
      for (const {request, userAgent} of entries)
        assert.match(userAgent, request.includes('/blobs/') ? /^noost\// : /^noost(?:-webhook)?\//, request);
    }
    assert.ok((await rig.served()) > 1_000_000);
  });

  onCluster('what a policy denies is refused, and kubectl shows why', async () => {
    await rig.push(rig.quay, 'stray/dog');
    await rig.apply(stringify(DENIAL));
    const refused = await poll('it is refused', async () => {
      try {
        await rig.apply(pod('stray', 'quay.io/stray/dog:1'));
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
    await rig.timed('private', 'registry.corp/secret/app:1', node);
    assert.equal(await ask(), '404');
    assert.equal(await ask('-H', 'Noost-Node-Secret: 0123456789abcdef'), '404');
  });

  onCluster("a pod whose own login is wrong gets the registry's own error", async () => {
    const login = ['--docker-username=robot', '--docker-password=wrong'];
    const secret = ['create', 'secret', 'docker-registry', 'wrong', '--docker-server=vault.corp'];
    await rig.kubernetes.kubectl([...secret, ...login]);
    await rig.apply(
      pod('locked-out', 'vault.corp/secret/app:1', {nodeName: 'n2', imagePullSecrets: [{name: 'wrong'}]}),
    );
    const message = await poll(
      'the kubelet tells',
      async () => /Failed to pull.*/.exec(await rig.kubernetes.kubectl(['get', 'events']))?.[0],
      POD_MS,
    );
    assert.match(message, /401 Unauthorized/);
    await rig.kubernetes.kubectl(['delete', 'pod', 'locked-out', '--now']);
  });

  onCluster('every query of the dashboard has an answer, and no alert fires', async () => {
    await using prometheus = await rig.prometheus(await rig.pods(NAMESPACE));
    const folder = join(import.meta.dirname, '../../manifests/components/prometheus-operator');
    const {panels} = JSON.parse(await readFile(join(folder, 'dashboard.json'), 'utf8')) as {
      panels: {targets: {expr: string}[]}[];
    };
    for (const {expr} of panels.flatMap(({targets}) => targets)) {
      const query = expr.replaceAll('$__rate_interval', '1m');
      await poll(query, async () => (await prometheus.query(query)).length > 0, 30_000);
    }
    const {spec} = parse(await readFile(join(folder, 'alerts.yaml'), 'utf8')) as {
      spec: {groups: {rules: {alert: string; expr: string}[]}[]};
    };
    for (const {alert, expr} of spec.groups.flatMap(({rules}) => rules))
      assert.deepEqual(await prometheus.query(expr), [], alert);
  });

  onCluster('the API server refuses agents and webhook nothing', async () => {
    const refused = new Set<string>();
    let asked = 0;
    for (const line of (await readFile(join(rig.kubernetes.folder, 'log/audit.log'), 'utf8')).split('\n')) {
      if (!line.includes(`system:serviceaccount:${NAMESPACE}:`)) continue;
      asked++;
      const {verb, requestURI, responseStatus, user} = JSON.parse(line) as AuditEntry;
      if (responseStatus?.code === 403) refused.add(`${user.username} ${verb} ${requestURI}`);
    }
    assert.deepEqual([...refused], []);
    assert.ok(asked > 20, `${String(asked)} requests of theirs are in the audit log`);
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
      await rig.apply(pod(`roller-${String(i)}`, `roller:${String(i)}`));
    }
    for (const what of ['daemonset/noost-agent', 'deployment/noost-webhook'])
      await rig.kubernetes.kubectl(['-n', NAMESPACE, 'rollout', 'status', what, '--timeout=180s']);
    for (let i = 0; i < 10; i++) await rig.running(`app=roller-${String(i)}`, 1);
  });

  onCluster('an agent that is killed, hangs or cannot help costs a pod seconds, not its image', async (t) => {
    const node = 'n1';
    for (const name of ['killed', 'stopped', 'healthy']) await rig.push(rig.hub, `library/${name}`);
    const healthy = await rig.timed('healthy', 'healthy:1', node);
    const agent = await rig.agentOn(node);
    process.kill(await pidOf(rig, agent), 'SIGKILL');
    const killed = await rig.timed('killed', 'killed:1', node);
    const again = await restarted(rig, agent); // the pod may have been running sooner
    process.kill(await pidOf(rig, again), 'SIGSTOP');
    const stopped = await rig.timed('stopped', 'stopped:1', node);
    await restarted(rig, again);
    await rig.push(rig.hub, 'only/elsewhere');
    const unavailable = await rig.timed('unavailable', 'broken.corp/only/elsewhere:1', node);
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
      const all = await rig.running('app=greeter', 4);
      assert.ok(all.every(({spec}) => spec.nodeName === 'n1'));
      await rig.kubernetes.kubectl(['uncordon', 'n2']);
      const kubelet = await kubeletOf(rig, 'n2');
      process.kill(kubelet, 'SIGSTOP');
      try {
        await rig.kubernetes.kubectl(['wait', '--for=condition=Ready=Unknown', 'node/n2', '--timeout=120s']);
        await rig.timed('survivor', 'greeter:1', 'n1');
        await assert.rejects(rig.noost('uninstall', '--yes'), /n2: the node is not ready/);
        assert.deepEqual(await describeTree(rig.certsOf('n1')), asFound.get('n1'));
      } finally {
        process.kill(kubelet, 'SIGCONT');
      }
      await rig.kubernetes.kubectl(['wait', '--for=condition=Ready', 'node/n2', '--timeout=120s']);
    },
  );

  onCluster('uninstalled, every node is as it was, byte for byte, and pods still pull', async () => {
    await rig.noost('uninstall', '--yes');
    for (const node of NODES) assert.deepEqual(await describeTree(rig.certsOf(node)), asFound.get(node));
    await rig.kubernetes.kubectl(['delete', '-k', overlay, '--timeout=180s']);
    for (const type of [MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS])
      assert.deepEqual((await rig.kubernetes.client.list(type)).items, []);
    for (const node of NODES) {
      assert.deepEqual(await describeTree(rig.certsOf(node)), asFound.get(node));
      await rig.push(rig.hub, `library/after-${node}`);
      await rig.timed(`after-${node}`, `after-${node}:1`, node);
    }
  });

  onCluster('deleted without a word, the agents give their nodes back as they end', async () => {
    await rig.kubernetes.kubectl(['apply', '-k', overlay]);
    await rig.agents();
    const isIn = async (node: string): Promise<boolean> =>
      (await describeTree(rig.certsOf(node))).join() !== asFound.get(node)?.join();
    for (const node of NODES) await poll(`${node} asks its agent`, () => isIn(node));
    await rig.kubernetes.kubectl(['delete', '-k', overlay, '--timeout=180s']);
    for (const node of NODES) assert.deepEqual(await describeTree(rig.certsOf(node)), asFound.get(node));
  });
});
