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
import {ClusterRig, NAMESPACE, type Pod} from './rig.ts';
import {pod} from './workloads.ts';

const HOST = 'registry.example.com';
const POD_MS = 180_000;

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

test(
  'the registry of manifests/registry: pushed to, restarted, and a node that pulls from it',
  {timeout: 1_500_000},
  async (t) => {
    if (!needsKubernetes(t, {nodes: 1}) || !needs(t, 'buildah', 'mmdebstrap', 'skopeo', 'openssl')) return;
    await using stack = new AsyncDisposableStack();
    const {path: folder} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-registry-')));
    await mkdir(join(folder, 'image'));
    const noost = await makeNoostImage(join(folder, 'image'));
    const kubernetes = stack.use(await Kubernetes.start({nodes: 1}));
    await kubernetes.on('n1', ['ctr', '-n', 'k8s.io', 'images', 'import', noost.archive]);
    const kubectl = async (...args: readonly string[]): Promise<string> =>
      await kubernetes.kubectl(['-n', NAMESPACE, ...args]);

    // As docs/registry.md says: two Secrets, and the manifests.
    const cert = stack.use(await newSelfSigned([HOST]));
    const disk = join(kubernetes.folder, 'n1', 'registry-data');
    await mkdir(disk);
    await kubernetes.apply('manifests/base/namespace');
    await kubectl('create', 'secret', 'tls', 'noost-registry-tls', `--cert=${cert.certFile}`, `--key=${cert.keyFile}`);
    await kubectl('create', 'secret', 'generic', 'noost-registry-users', `--from-literal=users=${usersText([ALICE])}`);
    await kubernetes.kubectl(['apply', '-f', '-'], volumeAt(disk));
    await kubernetes.apply('manifests/registry');
    const before = await ready(kubernetes, NAMESPACE, 'app.kubernetes.io/component=registry');
    const address = await kubectl('get', 'service', 'noost-registry', '-o', 'jsonpath={.spec.clusterIP}');

    const image = await makeImage(join(folder, 'app'), await busyboxImage('from our own registry'));
    const creds = `${ALICE.username}:${ALICE.password}`;
    const skopeo = ['skopeo', '--insecure-policy'];
    const push = ['copy', '-q', '--all', '--preserve-digests', '--dest-tls-verify=false', '--dest-creds', creds];
    // A node learns of a Service's endpoints a moment after they are ready.
    const fromNode = async (...args: readonly string[]): Promise<string> =>
      await poll('the registry, by its Service', () => kubernetes.on('n1', [...skopeo, ...args]), 60_000);
    await fromNode(...push, `dir:${image.folder}`, `docker://${address}/team/app:v1`);
    const listed = await kubectl('exec', 'noost-registry-0', '--', 'noost', 'ls', '--hosted');
    assert.match(listed, new RegExp(`${HOST}/team/app:v1 .* alice`));

    await kubectl('delete', 'pod', 'noost-registry-0', '--grace-period=0', '--force');
    await poll(
      'another pod',
      async () => {
        const after = await ready(kubernetes, NAMESPACE, 'app.kubernetes.io/component=registry');
        return after.metadata.uid !== before.metadata.uid;
      },
      POD_MS,
    );
    const raw = ['inspect', '--raw', '--tls-verify=false', '--creds', creds];
    await fromNode(...raw, `docker://${address}/team/app@${image.root.digest}`);

    // The nodes' agents: the registry is one more upstream, with a login from a Secret.
    const upstream = {host: HOST, url: `https://${address}`, tls: {insecureSkipVerify: true}};
    const agent = {upstreams: [upstream], kubernetes: {pullSecrets: ['noost-registries']}};
    const overlay = await ClusterRig.overlayIn(folder, 'overlays/agent-only', {agent});
    const login = [`--docker-username=${ALICE.username}`, `--docker-password=${ALICE.password}`];
    await kubectl('create', 'secret', 'docker-registry', 'noost-registries', `--docker-server=${HOST}`, ...login);
    await kubernetes.kubectl(['apply', '-k', overlay]);
    await ready(kubernetes, NAMESPACE, 'app.kubernetes.io/component=agent');
    await kubernetes.kubectl(['apply', '-f', '-'], pod('app', `${HOST}/team/app:v1`));
    const running = await ready(kubernetes, 'default', 'app=app');
    assert.match(running.status?.containerStatuses?.[0]?.imageID ?? '', new RegExp(image.root.digest));
  },
);
