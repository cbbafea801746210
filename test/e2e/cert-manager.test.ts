import assert from 'node:assert/strict';
import {X509Certificate} from 'node:crypto';
import {mkdir, mkdtempDisposable, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join, relative} from 'node:path';
import {test, type TestContext} from 'node:test';
import {setTimeout as delay} from 'node:timers/promises';
import {stringify} from 'yaml';
import {PODS, VALIDATING_WEBHOOKS} from '../../kube/resources.ts';
import type {WebhookConfiguration} from '../../webhook/controller/webhook-configurations.ts';
import {needs} from '../needs.ts';
import {CertManager} from '../peers/cert-manager.ts';
import {Kubernetes, needsKubernetes} from '../peers/kubernetes.ts';
import {makeNoostImage} from '../peers/noost-image.ts';
import {poll} from '../poll.ts';
import {withEvidence} from './evidence.ts';
import {NAMESPACE, type Pod} from './rig.ts';

const MANIFESTS = join(import.meta.dirname, '../../manifests');
const SECRET = 'noost-webhook-cert-manager';
/** A kubelet brings a changed Secret into a pod within about two minutes. */
const MOUNT_MS = 300_000;
const WEBHOOK = 'app.kubernetes.io/component=webhook';

interface Cluster {
  readonly kubernetes: Kubernetes;
  readonly certManager: CertManager;
}

/** As a user of a small cluster with cert-manager combines them. */
async function overlayIn(parent: string): Promise<string> {
  const folder = join(parent, 'overlay');
  await mkdir(folder);
  const at = (path: string): string => relative(folder, join(MANIFESTS, path));
  const components = ['components/minimal', 'components/cert-manager'].map(at);
  await writeFile(join(folder, 'kustomization.yaml'), stringify({resources: [at('.')], components}));
  return folder;
}

async function webhookPod({client}: Kubernetes): Promise<Pod> {
  return await poll(
    'the webhook is ready',
    async () => {
      const {items} = await client.list<Pod>(PODS, {namespace: NAMESPACE, labelSelector: WEBHOOK});
      return items.length === 1 && items[0]?.status?.containerStatuses?.every(({ready}) => ready) === true && items[0];
    },
    MOUNT_MS,
  );
}

/** A file of a Secret, as text; `undefined` while it is not there. */
async function fileOf({kubernetes}: Cluster, secret: string, file: string): Promise<string | undefined> {
  const path = `{.data.${file.replaceAll('.', '\\.')}}`;
  const words = ['-n', NAMESPACE, 'get', 'secret', secret, '--ignore-not-found', '-o', `jsonpath=${path}`];
  const text = await kubernetes.kubectl(words);
  return text === '' ? undefined : Buffer.from(text, 'base64').toString();
}

async function certificateIn(cluster: Cluster, secret: string, file = 'tls.crt'): Promise<X509Certificate> {
  const text = await poll(`${secret} has ${file}`, () => fileOf(cluster, secret, file), 60_000);
  return new X509Certificate(text);
}

/** What the webhook's pod shows whoever connects. */
async function served(kubernetes: Kubernetes): Promise<X509Certificate> {
  const {status} = await webhookPod(kubernetes);
  const words = [
    'openssl',
    's_client',
    '-connect',
    `${status?.podIP ?? ''}:10250`,
    '-servername',
    'noost-webhook.noost-system.svc',
  ];
  return new X509Certificate(await kubernetes.on('n1', words, ''));
}

/** The kubelet looks for changed Secrets when it looks at a pod, every minute or so, and at once when the pod changes. */
async function hurry({kubernetes}: Cluster): Promise<void> {
  const mark = `noost.dev/test=${String(Date.now())}`;
  await kubernetes.kubectl(['-n', NAMESPACE, 'annotate', 'pod', '-l', WEBHOOK, '--overwrite', mark]);
}

async function bundle({client}: Kubernetes): Promise<string> {
  const found = await client.find<WebhookConfiguration>(VALIDATING_WEBHOOKS, {name: 'noost-webhook'});
  const [entry] = found?.webhooks?.filter(({failurePolicy}) => failurePolicy === 'Fail') ?? [];
  return Buffer.from(entry?.clientConfig?.caBundle ?? '', 'base64').toString();
}

/** As `cmctl renew` does it. */
async function renew({kubernetes}: Cluster, name: string): Promise<void> {
  const condition = {
    type: 'Issuing',
    status: 'True',
    reason: 'ManuallyTriggered',
    message: 'by a test',
    lastTransitionTime: new Date().toISOString().replace(/\.\d+/, ''),
  };
  const words = ['-n', NAMESPACE, 'patch', 'certificate', name, '--subresource=status', '--type=json'];
  const patch = [{op: 'add', path: '/status/conditions/-', value: condition}];
  await kubernetes.kubectl([...words, '-p', JSON.stringify(patch)]);
}

/** Makes pods (as far as admission) until it is told to stop. @returns what was refused. */
async function keepAsking(kubernetes: Kubernetes, signal: AbortSignal): Promise<readonly string[]> {
  const refused: string[] = [];
  const image = `registry.k8s.io/pause@sha256:${'0'.repeat(64)}`;
  while (!signal.aborted) {
    await kubernetes
      .kubectl(['run', 'asked', `--image=${image}`, '--dry-run=server'])
      .catch((error: unknown) => refused.push((error as Error).message));
    await delay(250, undefined, {signal}).catch(() => undefined);
  }
  return refused;
}

async function start(t: TestContext, stack: AsyncDisposableStack): Promise<Cluster | undefined> {
  if (!needsKubernetes(t, {nodes: 1}) || !needs(t, 'buildah', 'mmdebstrap', 'go')) return undefined;
  const programs = await CertManager.programs(t);
  if (programs === undefined) return undefined;
  const {path: folder} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-cert-manager-')));
  await mkdir(join(folder, 'image'));
  const image = await makeNoostImage(join(folder, 'image'));
  const kubernetes = stack.use(await Kubernetes.start({nodes: 1}));
  await kubernetes.on('n1', ['ctr', '-n', 'k8s.io', 'images', 'import', image.archive]);
  const certManager = stack.use(await CertManager.start(kubernetes, programs));
  await kubernetes.kubectl(['apply', '-k', await overlayIn(folder)]);
  return {kubernetes, certManager};
}

test(
  'with cert-manager: its certificate is served and trusted, and renewed without a restart',
  {timeout: 1_500_000},
  async (t) => {
    await using stack = new AsyncDisposableStack();
    const cluster = await start(t, stack);
    if (cluster === undefined) return;
    const {kubernetes} = cluster;
    await withEvidence(kubernetes, async () => {
      const first = await certificateIn(cluster, SECRET);
      const before = await webhookPod(kubernetes);
      await poll('it is armed', async () => (await bundle(kubernetes)) !== '', MOUNT_MS);
      const authority = await certificateIn(cluster, SECRET, 'ca.crt');
      assert.equal(new X509Certificate(await bundle(kubernetes)).fingerprint256, authority.fingerprint256);
      assert.equal((await served(kubernetes)).serialNumber, first.serialNumber);
      assert.equal(await fileOf(cluster, 'noost-webhook-tls', 'tls.crt'), undefined, 'it has no CA of its own');

      const stop = new AbortController();
      const asked = keepAsking(kubernetes, stop.signal);
      try {
        await renew(cluster, 'noost-webhook');
        const isServed = async (): Promise<boolean> => {
          await hurry(cluster);
          const now = await certificateIn(cluster, SECRET);
          return (
            now.serialNumber !== first.serialNumber && (await served(kubernetes)).serialNumber === now.serialNumber
          );
        };
        await poll('the renewed certificate is served', isServed, MOUNT_MS);

        await renew(cluster, 'noost-webhook-ca');
        await poll(
          'there is another CA',
          async () => (await certificateIn(cluster, 'noost-webhook-ca')).fingerprint256 !== authority.fingerprint256,
          60_000,
        );
        const second = await certificateIn(cluster, SECRET);
        await renew(cluster, 'noost-webhook');
        const isAnother = async (): Promise<boolean> => {
          await hurry(cluster);
          const shown = await served(kubernetes);
          const ca = await certificateIn(cluster, SECRET, 'ca.crt');
          return shown.serialNumber !== second.serialNumber && shown.verify(ca.publicKey);
        };
        await poll('what the new CA made is served', isAnother, MOUNT_MS);
        const next = await certificateIn(cluster, SECRET, 'ca.crt');
        assert.notEqual(next.fingerprint256, authority.fingerprint256);
        const trusted = await bundle(kubernetes);
        assert.ok(
          trusted.includes(next.toString()) && trusted.includes(authority.toString()),
          'both are trusted for a while',
        );
      } finally {
        stop.abort();
      }
      assert.deepEqual(await asked, [], 'no pod was refused meanwhile');
      const after = await webhookPod(kubernetes);
      assert.equal(after.metadata.uid, before.metadata.uid);
      assert.equal(after.status?.containerStatuses?.[0]?.restartCount, 0);
    });
  },
);
