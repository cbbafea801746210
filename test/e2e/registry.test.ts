import assert from 'node:assert/strict';
import {mkdir, mkdtempDisposable} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {stringify} from 'yaml';
import {PODS} from '../../kube/resources.ts';
import {ALICE, usersText} from '../hosted-rig.ts';
import {needs} from '../needs.ts';
import {makeImage} from '../peers/image.ts';
import {Kubernetes, needsKubernetes} from '../peers/kubernetes.ts';
import {makeNoostImage} from '../peers/noost-image.ts';
import {busyboxImage} from '../peers/sample-images.ts';
import {poll} from '../poll.ts';
import {newSelfSigned} from '../self-signed.ts';
import {withEvidence} from './evidence.ts';
import {ClusterRig, NAMESPACE, type Pod} from './rig.ts';
import {pod} from './workloads.ts';

const MANIFESTS = join(import.meta.dirname, '../../manifests/registry');
const HOST = 'registry.example.com';
const REGISTRY = 'noost-registry';
const COMPONENT = 'app.kubernetes.io/component=registry';
/** Two attempts of the kubelet that failed, and what it waits between them, on a machine that does much else. */
const POD_MS = 300_000;

/** A disk of the node's, as there is no provisioner: `local`, for with it the kubelet heeds fsGroup. */
function volumeAt(path: string): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: {name: 'registry'},
    spec: {
      capacity: {storage: '100Gi'},
      accessModes: ['ReadWriteOnce'],
      local: {path},
      nodeAffinity: {
        required: {
          nodeSelectorTerms: [{matchExpressions: [{key: 'kubernetes.io/hostname', operator: 'In', values: ['n1']}]}],
        },
      },
    },
  });
}

async function ready(kubernetes: Kubernetes, namespace: string, labelSelector: string): Promise<Pod> {
  return await poll(
    `${labelSelector} is ready`,
    async () => {
      const {items} = await kubernetes.client.list<Pod>(PODS, {namespace, labelSelector});
      const [one] = items.filter(({metadata}) => metadata.deletionTimestamp === undefined);
      return one?.status?.containerStatuses?.every((container) => container.ready) === true && one;
    },
    POD_MS,
  );
}

const SKOPEO = ['skopeo', '--insecure-policy', '--command-timeout', '20s'] as const;
const CREDS = `${ALICE.username}:${ALICE.password}`;

/** What the node's own programs can do by the registry's Service, whose endpoints it learns of a moment after they are ready. */
async function fromNode(kubernetes: Kubernetes, ...args: readonly string[]): Promise<string> {
  return await poll('the registry, by its Service', () => kubernetes.on('n1', [...SKOPEO, ...args]), POD_MS);
}

async function anotherThan({metadata}: Pod, kubernetes: Kubernetes): Promise<Pod> {
  return await poll(
    'another pod',
    async () => {
      const after = await ready(kubernetes, REGISTRY, COMPONENT);
      return after.metadata.uid !== metadata.uid && after;
    },
    POD_MS,
  );
}

/** As docs/registry.md says: a namespace, two Secrets, and the manifests. @returns the Service's address. */
async function install(kubernetes: Kubernetes, cert: {certFile: string; keyFile: string}): Promise<string> {
  const create = ['-n', REGISTRY, 'create', 'secret'];
  const disk = join(kubernetes.folder, 'n1', 'registry-data');
  await mkdir(disk);
  await kubernetes.apply('manifests/registry/namespace');
  const files = [`--cert=${cert.certFile}`, `--key=${cert.keyFile}`];
  await kubernetes.kubectl([...create, 'tls', 'noost-registry-tls', ...files]);
  await kubernetes.kubectl([
    ...create,
    'generic',
    'noost-registry-users',
    `--from-literal=users=${usersText([ALICE])}`,
  ]);
  await kubernetes.kubectl(['apply', '-f', '-'], volumeAt(disk));
  await kubernetes.apply('manifests/registry');
  await ready(kubernetes, REGISTRY, COMPONENT);
  return await addressOf(kubernetes);
}

async function addressOf(kubernetes: Kubernetes): Promise<string> {
  return await kubernetes.kubectl(['-n', REGISTRY, 'get', 'service', REGISTRY, '-o', 'jsonpath={.spec.clusterIP}']);
}

/** The nodes' agents: the registry is one more upstream, with a login from a Secret. @returns the overlay that was applied. */
async function installAgents(kubernetes: Kubernetes, folder: string, address: string): Promise<string> {
  const upstream = {host: HOST, url: `https://${address}`, tls: {insecureSkipVerify: true}};
  const agent = {upstreams: [upstream], kubernetes: {pullSecrets: ['noost-registries']}};
  const overlay = await ClusterRig.overlayIn(folder, 'overlays/agent-only', {agent});
  const login = [`--docker-username=${ALICE.username}`, `--docker-password=${ALICE.password}`];
  const secret = ['create', 'secret', 'docker-registry', 'noost-registries', `--docker-server=${HOST}`, ...login];
  await kubernetes.apply('manifests/base/namespace');
  await kubernetes.kubectl(['-n', NAMESPACE, ...secret]);
  await kubernetes.kubectl(['apply', '-k', overlay]);
  await ready(kubernetes, NAMESPACE, 'app.kubernetes.io/component=agent');
  return overlay;
}

test(
  'the registry of manifests/registry: pushed to, restarted, pulled from by a node, removed and back again',
  {timeout: 1_500_000},
  async (t) => {
    if (!needsKubernetes(t, {nodes: 1}) || !needs(t, 'buildah', 'mmdebstrap', 'skopeo', 'openssl')) return;
    await using stack = new AsyncDisposableStack();
    const {path: folder} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-registry-')));
    await mkdir(join(folder, 'image'));
    const noost = await makeNoostImage(join(folder, 'image'));
    const cert = stack.use(await newSelfSigned([HOST]));
    const image = await makeImage(join(folder, 'app'), await busyboxImage('from our own registry'));
    const kubernetes = stack.use(await Kubernetes.start({nodes: 1}));
    await kubernetes.on('n1', ['ctr', '-n', 'k8s.io', 'images', 'import', noost.archive]);
    await withEvidence(kubernetes, async () => {
      const address = await install(kubernetes, cert);
      const push = ['copy', '-q', '--all', '--preserve-digests', '--dest-tls-verify=false', '--dest-creds', CREDS];
      await fromNode(kubernetes, ...push, `dir:${image.folder}`, `docker://${address}/team/app:v1`);
      const listed = await poll('what is hosted', () =>
        kubernetes.kubectl(['-n', REGISTRY, 'exec', 'noost-registry-0', '--', 'noost', 'ls', '--hosted']),
      );
      assert.match(listed, new RegExp(`${HOST}/team/app:v1 .* alice`));

      const before = await ready(kubernetes, REGISTRY, COMPONENT);
      await kubernetes.kubectl(['-n', REGISTRY, 'delete', 'pod', 'noost-registry-0', '--grace-period=0', '--force']);
      await anotherThan(before, kubernetes);
      const raw = ['inspect', '--raw', '--tls-verify=false', '--creds', CREDS];
      await fromNode(kubernetes, ...raw, `docker://${address}/team/app@${image.root.digest}`);

      const overlay = await installAgents(kubernetes, folder, address);
      await kubernetes.kubectl(['apply', '-f', '-'], pod('app', `${HOST}/team/app:v1`));
      const running = await ready(kubernetes, 'default', 'app=app');
      assert.match(running.status?.containerStatuses?.[0]?.imageID ?? '', new RegExp(image.root.digest));

      await kubernetes.kubectl(['delete', '-k', overlay, '--timeout=180s']);
      await fromNode(kubernetes, ...raw, `docker://${address}/team/app@${image.root.digest}`);
      await kubernetes.kubectl(['delete', '-k', MANIFESTS, '--timeout=180s']);
      await kubernetes.apply('manifests/registry');
      await ready(kubernetes, REGISTRY, COMPONENT);
      await fromNode(kubernetes, ...raw, `docker://${await addressOf(kubernetes)}/team/app@${image.root.digest}`);
    });
  },
);
