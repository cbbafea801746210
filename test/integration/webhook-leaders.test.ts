import assert from 'node:assert/strict';
import {X509Certificate} from 'node:crypto';
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {test} from 'node:test';
import {connect} from 'node:tls';
import type {KubeObject} from '../../kube/object.ts';
import {LEASES, SECRETS, VALIDATING_WEBHOOKS} from '../../kube/resources.ts';
import type {WebhookConfiguration} from '../../webhook/controller/webhook-configurations.ts';
import {pod} from '../admission-rig.ts';
import {Balancer} from '../balancer.ts';
import {WebhookProcess} from '../peers/webhook.ts';
import {poll} from '../poll.ts';
import {sharedPeer} from '../shared-peer.ts';
import {refused, upstreamsAt, WebhookCluster} from '../webhook-cluster.ts';

const NAME = 'noost-webhook';
const OWN = 'noost-system';
/** Leaves are made anew after 40 seconds, whatever else happens. */
const SHORT = {certificates: {lifetime: '1m'}};

/** Three replicas, of which the API server calls one after the other. */
interface Replicas extends AsyncDisposable {
  readonly on: WebhookCluster;
  readonly balancer: Balancer;
  readonly all: WebhookProcess[];
  add(): Promise<void>;
}
const replicas = sharedPeer(start);

async function start(): Promise<Replicas> {
  await using stack = new AsyncDisposableStack();
  const balancer = stack.use(await Balancer.start());
  const url = `https://127.0.0.1:${String(balancer.port)}`;
  const on = stack.use(await WebhookCluster.start({url, config: SHORT, onPort: (port) => balancer.add(port)}));
  const more = stack.use(new AsyncDisposableStack());
  const all = [on.webhook];
  const add = async (): Promise<void> => {
    const one = await WebhookProcess.start(on.kubernetes, {
      url,
      config: {upstreams: upstreamsAt(on.registry.url), ...SHORT},
    });
    all.push(more.use(one));
    balancer.add(one.port);
  };
  await add();
  await add();
  stack.move();
  const end = async (): Promise<void> => {
    await more[Symbol.asyncDispose]();
    await on[Symbol.asyncDispose]();
    await balancer[Symbol.asyncDispose]();
  };
  return {on, balancer, all, add, [Symbol.asyncDispose]: end};
}

async function leadersOf(all: readonly WebhookProcess[]): Promise<WebhookProcess[]> {
  const running = all.filter((one) => one.child.running);
  const leads = await Promise.all(running.map((one) => one.counter('noost_webhook_leader').catch(() => 0)));
  return running.filter((_, i) => leads[i] === 1);
}

async function leaderOf(all: readonly WebhookProcess[]): Promise<WebhookProcess> {
  return poll('one leads', async () => (await leadersOf(all))[0], 90_000);
}

/** Deletes a configuration, and waits until somebody has made it again, armed. */
async function untilRepaired(on: WebhookCluster): Promise<void> {
  await on.client.delete(VALIDATING_WEBHOOKS, {name: NAME});
  await poll(
    'it is made again',
    async () => {
      const found = await on.client.find<WebhookConfiguration>(VALIDATING_WEBHOOKS, {name: NAME});
      return found?.webhooks?.find(({name}) => name === 'validate.noost.dev')?.failurePolicy === 'Fail';
    },
    60_000,
  );
}

test(
  'of several replicas one leads; one that is killed, or hangs, is followed by another; never do two',
  {timeout: 300_000},
  async (t) => {
    const pair = await replicas(t);
    if (!pair) return;
    const {on, all, balancer} = pair;
    const namespace = await on.namespace('led');
    await on.policy(namespace, {default: 'Deny', rules: []});
    const first = await leaderOf(all);
    assert.deepEqual(await leadersOf(all), [first]);
    await untilRepaired(on);
    balancer.remove(first.port);
    await first.child.stop('SIGKILL');
    await refused(on.create(namespace, pod(['evil/x']), {dryRun: true}));
    const second = await leaderOf(all);
    assert.notEqual(second, first);
    await untilRepaired(on);

    // It hangs for longer than its lease lasts, and comes back: it must find that another leads.
    balancer.remove(second.port);
    const others = all.filter((one) => one !== second);
    second.child.signal('SIGSTOP');
    try {
      const third = await leaderOf(others);
      await untilRepaired(on);
      second.child.signal('SIGCONT');
      await poll('it has noticed', async () => (await leadersOf(all)).length === 1, 60_000);
      assert.deepEqual(await leadersOf(all), [third]);
    } finally {
      second.child.signal('SIGCONT');
      balancer.add(second.port);
    }
    await refused(on.create(namespace, pod(['evil/x']), {dryRun: true}));
    await pair.add();
  },
);

test('the Lease: who takes it by force leads alone; deleted, it is made again', {timeout: 300_000}, async (t) => {
  const pair = await replicas(t);
  if (!pair) return;
  const {on, all} = pair;
  const place = {namespace: OWN, name: NAME};
  type Lease = KubeObject & {readonly spec: {readonly holderIdentity: string}};
  await leaderOf(all);
  const now = new Date().toISOString().replace('Z', '000Z');
  const spec = {holderIdentity: 'somebody', renewTime: now, leaseDurationSeconds: 15};
  await on.client.patch(LEASES, place, {merge: {spec}});
  await poll('nobody of ours leads', async () => (await leadersOf(all)).length === 0, 60_000);
  const again = await leaderOf(all); // somebody never renews
  assert.notEqual((await on.client.get<Lease>(LEASES, place)).spec.holderIdentity, 'somebody');
  await on.client.delete(LEASES, place);
  await poll('it is there again', () => on.client.find(LEASES, place), 60_000);
  await poll('one leads', async () => (await leadersOf(all)).length === 1, 60_000);
  await untilRepaired(on);
  assert.ok(again.child.running);
});

test(
  'an API server that hangs: nobody leads; when it answers again one does, and new policies take effect',
  {timeout: 300_000},
  async (t) => {
    const pair = await replicas(t);
    if (!pair) return;
    const {on, all} = pair;
    await leaderOf(all);
    const pid = Number(await readFile(join(on.kubernetes.folder, 'pid', 'apiserver'), 'utf8'));
    process.kill(pid, 'SIGSTOP');
    try {
      await poll('nobody leads', async () => (await leadersOf(all)).length === 0, 60_000);
      for (const replica of all.filter(({child}) => child.running))
        assert.equal((await replica.ask('/readyz')).status, 200, 'it goes on with what it knows');
    } finally {
      process.kill(pid, 'SIGCONT');
    }
    await poll('one leads', async () => (await leadersOf(all)).length === 1, 90_000);
    const namespace = await on.namespace('after-hanging');
    await on.policy(namespace, {default: 'Deny', rules: []});
    await refused(on.create(namespace, pod(['evil/x']), {dryRun: true}));
    await untilRepaired(on);
  },
);

interface Secret extends KubeObject {
  readonly data: Readonly<Record<string, string>>;
}

/** A handshake as the API server would do it now: with the bundle that it is told to trust. @throws if it fails. */
async function handshake({client}: WebhookCluster, {port}: WebhookProcess): Promise<X509Certificate> {
  const found = await client.get<WebhookConfiguration>(VALIDATING_WEBHOOKS, {name: NAME});
  const ca = Buffer.from(found.webhooks?.[0]?.clientConfig.caBundle ?? '', 'base64').toString();
  return new Promise((resolve, reject) => {
    const socket = connect({host: '127.0.0.1', port, ca}, () => {
      const certificate = socket.getPeerX509Certificate();
      socket.destroy();
      if (certificate) resolve(certificate);
      else reject(new Error('no certificate'));
    }).once('error', reject);
  });
}

test(
  'certificates and their CA are replaced under load, again and again: no review and no handshake fails',
  {timeout: 300_000},
  async (t) => {
    const pair = await replicas(t);
    if (!pair) return;
    const {on} = pair;
    const all = pair.all.filter((one) => one.child.running);
    const namespace = await on.namespace('rotated');
    await on.policy(namespace, {
      default: 'Deny',
      rules: [{name: 'r', match: [{registry: 'reg.test'}], action: 'Allow'}],
    });
    on.registry.content.addImage('acme/app', 'v1');
    const failures: string[] = [];
    let [made, shaken, stopped] = [0, 0, false];
    const note = (error: unknown): unknown => failures.push(String(error));
    const reviews = async (): Promise<void> => {
      const one = pod(['reg.test/acme/app:v1'], {metadata: {name: undefined, generateName: 'p-'}});
      while (!stopped) await on.create(namespace, one, {dryRun: true}).then(() => made++, note);
    };
    const handshakes = async (replica: WebhookProcess): Promise<void> => {
      while (!stopped) await handshake(on, replica).then(() => shaken++, note);
    };
    const lines = [reviews(), reviews(), ...all.map(handshakes)];
    const place = {namespace: OWN, name: `${NAME}-tls`};
    try {
      for (let round = 0; round < 3; round++) {
        const before = (await on.client.get<Secret>(SECRETS, place)).data['ca.crt'];
        await on.client.delete(SECRETS, place);
        const text = await poll('another CA', async () => {
          const found = await on.client.find<Secret>(SECRETS, place);
          return found !== undefined && found.data['ca.crt'] !== before && found.data['ca.crt'];
        });
        const ca = new X509Certificate(Buffer.from(text, 'base64'));
        for (const replica of all)
          await poll('it is served', async () => (await handshake(on, replica)).verify(ca.publicKey), 60_000);
        const seen = made;
        await poll('reviews go on', () => made > seen + 20, 60_000);
      }
      await refused(on.create(namespace, pod(['evil/x']), {dryRun: true}));
    } finally {
      stopped = true;
      await Promise.all(lines);
    }
    assert.deepEqual(failures, []);
    assert.ok(made > 60 && shaken > 60, `${made} reviews, ${shaken} handshakes`);
  },
);
