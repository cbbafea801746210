import assert from 'node:assert/strict';
import {test} from 'node:test';
import {setTimeout as delay} from 'node:timers/promises';
import {NAMESPACES} from '../../kube/resources.ts';
import {pod} from '../admission-rig.ts';
import {Balancer} from '../balancer.ts';
import {WebhookProcess} from '../peers/webhook.ts';
import {poll} from '../poll.ts';
import {sharedPeer} from '../shared-peer.ts';
import {refused, upstreamsAt, WebhookCluster} from '../webhook-cluster.ts';

/** Two replicas: what the API server calls leads to either. */
interface Pair extends AsyncDisposable {
  readonly on: WebhookCluster;
  readonly balancer: Balancer;
  /** One more replica, ready. */
  replica(): Promise<WebhookProcess>;
}
const cluster = sharedPeer(start);

/** Nothing without a digest. */
const DIGEST = {
  default: 'Deny',
  rules: [{name: 'r', match: [{registry: '*'}], action: 'Allow', require: {digest: true}}],
};
const NOT_OURS = /failed calling webhook|failed to call webhook|deadline exceeded/;

async function start(): Promise<Pair> {
  await using stack = new AsyncDisposableStack();
  const balancer = stack.use(await Balancer.start());
  const url = `https://127.0.0.1:${String(balancer.port)}`;
  const on = stack.use(await WebhookCluster.start({url, onPort: (port) => balancer.add(port)}));
  const replicas = stack.use(new AsyncDisposableStack());
  stack.move();
  return {
    on,
    balancer,
    replica: async () => {
      const config = {upstreams: upstreamsAt(on.registry.url)};
      const one = await WebhookProcess.start(on.kubernetes, {url, config});
      replicas.use(one);
      balancer.add(one.port);
      return one;
    },
    [Symbol.asyncDispose]: async () => {
      await replicas[Symbol.asyncDispose]();
      await on[Symbol.asyncDispose]();
      await balancer[Symbol.asyncDispose]();
    },
  };
}

/** Pods, one after the other in each of a few lines, until told to stop. */
function load(on: WebhookCluster, namespace: string, image: string) {
  const failures: string[] = [];
  let [made, stopped] = [0, false];
  const line = async (): Promise<void> => {
    while (!stopped)
      await on.create(namespace, pod([image], {metadata: {name: undefined, generateName: 'p-'}}), {dryRun: true}).then(
        () => made++,
        (error: unknown) => failures.push(String(error)),
      );
  };
  const lines = [line(), line(), line(), line()];
  return {
    failures,
    more: async (count: number): Promise<void> => {
      const until = made + count;
      await poll(`${String(count)} more pods`, () => made >= until, 60_000);
    },
    stop: async (): Promise<void> => {
      stopped = true;
      await Promise.all(lines);
    },
  };
}

test('the registry is down: images that were seen are pinned and judged, others follow the policy; up again, they are', async (t) => {
  const pair = await cluster(t);
  if (!pair) return;
  const {on} = pair;
  const namespace = await on.namespace('down');
  await on.policy(namespace, DIGEST);
  const {digest} = on.registry.content.addImage('acme/seen', 'v1');
  on.registry.content.addImage('acme/unseen', 'v1');
  const create = (image: string) =>
    on.create(namespace, pod([image], {metadata: {name: undefined, generateName: 'p-'}}));
  await create('reg.test/acme/seen:v1');
  await on.registry.down();
  const {pod: made} = await create('reg.test/acme/seen:v1');
  assert.equal(made.spec.containers[0]?.image, `reg.test/acme/seen:v1@${digest}`);
  const message = await refused(create('reg.test/acme/unseen:v1'));
  assert.match(message, /reg\.test\/acme\/unseen:v1/);
  assert.doesNotMatch(message, NOT_OURS);
  const elsewhere = await on.namespace('down-unjudged');
  const {pod: unpinned, warnings} = await on.create(elsewhere, pod(['reg.test/acme/unseen:v1']));
  assert.equal(unpinned.spec.containers[0]?.image, 'reg.test/acme/unseen:v1');
  assert.match(warnings.join('\n'), /reg\.test\/acme\/unseen:v1 is not pinned: .* cannot be reached/);
  await on.registry.up();
  await poll('what was not seen is', () => create('reg.test/acme/unseen:v1').then(() => true), 60_000);
});

test('a registry that hangs: nobody waits for the API server to give up, and others wait for nobody', async (t) => {
  const pair = await cluster(t);
  if (!pair) return;
  const {on} = pair;
  const namespace = await on.namespace('hangs');
  await on.policy(namespace, DIGEST);
  on.registry.content.addImage('acme/quick', 'v1');
  on.registry.fail({kind: 'hang'}, {path: /acme\/slow/, times: Infinity});
  const create = (image: string, to = namespace) =>
    on.create(to, pod([image], {metadata: {name: undefined, generateName: 'p-'}}));
  await create('reg.test/acme/quick:v1');
  let pending = 8; // fewer than our own client has connections
  const slow = Array.from({length: 8}, (_, i) =>
    refused(create(`reg.test/acme/slow:v${String(i)}`)).finally(() => pending--),
  );
  await create('reg.test/acme/quick:v1');
  assert.equal(pending, 8); // the quick one overtook all that hang
  for (const message of await Promise.all(slow)) assert.doesNotMatch(message, NOT_OURS);
  const elsewhere = await on.namespace('hangs-unjudged');
  const {warnings} = await create('reg.test/acme/slow:v1', elsewhere);
  assert.match(warnings.join('\n'), /is not pinned: /);
  on.registry.clear();
});

test('a replica is told to end under load: no review fails; one is killed: no more than what it was answering', async (t) => {
  const pair = await cluster(t);
  if (!pair) return;
  const {on, balancer} = pair;
  const namespace = await on.namespace('replaced');
  await on.policy(namespace, DIGEST);
  on.registry.content.addImage('acme/app', 'v1');
  const [second, third] = [await pair.replica(), await pair.replica()];
  const under = load(on, namespace, 'reg.test/acme/app:v1');
  try {
    await under.more(100);
    balancer.remove(second.port); // as endpoints do when it says that it is not ready
    await second.child.stop('SIGTERM', 40_000);
    assert.equal(second.child.status, 0);
    await under.more(100);
    assert.deepEqual(under.failures, []);
    await third.child.stop('SIGKILL');
    await under.more(100);
    assert.ok(under.failures.length <= 4, under.failures.join('\n')); // the lines of load
    const before = under.failures.length;
    await under.more(100);
    assert.equal(under.failures.length, before);
  } finally {
    await under.stop();
  }
});

test(
  'the API server and etcd are killed and come back: policies hold, and new ones take effect',
  {timeout: 300_000},
  async (t) => {
    const pair = await cluster(t);
    if (!pair) return;
    const {on} = pair;
    const namespace = await on.namespace('restarted');
    await on.policy(namespace, {
      default: 'Deny',
      rules: [{name: 'r', match: [{registry: 'reg.test'}], action: 'Allow'}],
    });
    on.registry.content.addImage('acme/app', 'v1');
    for (const program of ['apiserver', 'etcd']) {
      await on.kubernetes.kill(program);
      await delay(1_000);
      assert.equal((await on.webhook.ask('/livez')).status, 200);
      await on.kubernetes.restart(program);
      // The API server reads webhook configurations before it says it is ready: nothing slips through in between.
      await poll(
        'refused again',
        () => refused(on.create(namespace, pod(['evil/x']), {dryRun: true})).then(Boolean),
        60_000,
      );
      await poll(
        'admitted again',
        () => on.create(namespace, pod(['reg.test/acme/app:v1']), {dryRun: true}).then(Boolean),
        60_000,
      );
    }
    const later = await on.namespace('restarted-later');
    await on.policy(later, {default: 'Deny', rules: []});
    await refused(on.create(later, pod(['reg.test/acme/app:v1'])));
    await on.webhook.untilReady();
  },
);

test(
  'a webhook that is started before its API server makes its namespace when it can, and is ready then',
  {timeout: 300_000},
  async (t) => {
    const pair = await cluster(t);
    if (!pair) return;
    const {kubernetes, client} = pair.on;
    await kubernetes.kill('apiserver');
    const config = {namespace: 'early-bird', service: 'early-bird', upstreams: []};
    await using one = await WebhookProcess.spawn(kubernetes, {config});
    await poll('it says why it is not ready', async () => {
      const response = await one.ask('/readyz').catch(() => undefined);
      return response?.status === 503 && /cannot be reached/.test(await response.text());
    });
    await kubernetes.restart('apiserver');
    await one.untilReady();
    await client.get(NAMESPACES, {name: 'early-bird'});
    await one[Symbol.asyncDispose]();
    const name = 'early-bird';
    await kubernetes.kubectl(['delete', 'validatingwebhookconfiguration,mutatingwebhookconfiguration', name]);
  },
);

test('the way out: an annotation of our own namespace takes the webhook away, and gives it back', async (t) => {
  const pair = await cluster(t);
  if (!pair) return;
  const {on} = pair;
  const namespace = await on.namespace('way-out');
  await on.policy(namespace, {default: 'Deny', rules: []});
  const attempt = (): Promise<unknown> => on.create(namespace, pod(['evil/x']), {dryRun: true});
  await refused(attempt());
  const own = {name: 'noost-system'};
  await on.client.patch(NAMESPACES, own, {merge: {metadata: {annotations: {'noost.dev/webhook': 'off'}}}});
  await poll('nobody is asked', () => attempt().then(() => true), 60_000);
  await on.client.patch(NAMESPACES, own, {merge: {metadata: {annotations: {'noost.dev/webhook': null}}}});
  await poll('refused again', () => refused(attempt()).then(Boolean), 60_000);
});
