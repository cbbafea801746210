import assert from 'node:assert/strict';
import {test} from 'node:test';
import {KubeError} from '../../kube/error.ts';
import {pod} from '../admission-rig.ts';
import {sharedPeer} from '../shared-peer.ts';
import {refused, WebhookCluster} from '../webhook-cluster.ts';

/** Ways past policies that worked elsewhere (policy-peers §7), tried at a real API server. */
const cluster = sharedPeer(start);

const A = `sha256:${'a'.repeat(64)}`;
/** Namespace, which is also the policy's name → what is allowed there. */
const POLICIES = {
  'only-mycompany': {
    default: 'Deny',
    rules: [{name: 'ours', match: [{registry: 'docker.io', repository: 'mycompany/**'}], action: 'Allow'}],
  },
  'no-hub': {default: 'Allow', rules: [{name: 'no', match: [{registry: 'docker.io'}], action: 'Deny'}]},
  'no-latest': {default: 'Allow', rules: [{name: 'no', match: [{tag: 'latest'}], action: 'Deny'}]},
  'only-v1': {
    default: 'Deny',
    rules: [{name: 'v1', match: [{registry: 'docker.io', repository: 'mycompany/x', tag: 'v1'}], action: 'Allow'}],
  },
  'by-digest': {
    default: 'Deny',
    rules: [{name: 'pinned', match: [{registry: 'docker.io'}], action: 'Allow', require: {digest: true}}],
  },
} as const;
type Where = keyof typeof POLICIES;

async function start(): Promise<WebhookCluster> {
  const on = await WebhookCluster.start();
  for (const [namespace, spec] of Object.entries(POLICIES)) {
    await on.namespace(namespace);
    await on.policy(namespace, spec);
  }
  on.registry.content.addImage('mycompany/x', 'v1');
  on.registry.content.addImage('mycompany/x', 'latest');
  return on;
}

const DENIED: readonly (readonly [number, Where, string])[] = [
  [1, 'only-mycompany', 'docker.io.evil.com/mycompany/x'],
  [1, 'only-mycompany', 'evil.com/docker.io/mycompany/x'],
  [2, 'only-mycompany', 'docker.io/mycompanyevil/x'],
  [2, 'only-mycompany', 'mycompany'],
  [4, 'no-hub', 'nginx'],
  [4, 'no-hub', 'user/img'],
  [4, 'no-hub', 'library/nginx'],
  [5, 'no-hub', 'docker.io/nginx'],
  [5, 'no-hub', 'docker.io/library/nginx'],
  [5, 'no-hub', 'index.docker.io/library/nginx'],
  [6, 'no-hub', 'registry-1.docker.io/library/nginx'],
  [8, 'only-mycompany', 'MYREG/foo'],
  [10, 'only-mycompany', 'localhost/mycompany/x'],
  [10, 'only-mycompany', 'localhost:5000/mycompany/x'],
  [10, 'only-mycompany', '127.0.0.1:5000/mycompany/x'],
  [10, 'only-mycompany', '[::1]:5000/mycompany/x'],
  [10, 'only-mycompany', '[fe80::1%25eth0]/mycompany/x'],
  [10, 'only-mycompany', 'localhost:5055/quay.io/mycompany/x'],
  [10, 'only-mycompany', 'localhost:5055/docker.io.evil.com/mycompany/x'],
  [10, 'only-mycompany', 'localhost:5055/localhost:5055/docker.io/mycompany/x'],
  [10, 'only-mycompany', 'localhost:5056/docker.io/mycompany/x'],
  [78, 'no-hub', 'localhost:5055/docker.io/library/nginx'],
  [78, 'no-hub', 'localhost:5055/docker.io/nginx'],
  [78, 'no-hub', 'localhost:5055/index.docker.io/library/nginx'],
  [78, 'no-hub', '127.0.0.1:5055/docker.io/library/nginx'],
  [11, 'no-hub', 'docker.io:443/library/nginx'],
  [11, 'only-mycompany', 'docker.io:0443/mycompany/x'],
  [11, 'only-mycompany', 'docker.io:65536/mycompany/x'],
  [12, 'only-mycompany', 'dоcker.io/mycompany/x'],
  [12, 'only-mycompany', 'xn--dcker-jye.io/mycompany/x'],
  [12, 'only-mycompany', 'docker。io/mycompany/x'],
  [13, 'only-mycompany', 'https://docker.io/mycompany/x'],
  [13, 'only-mycompany', 'docker.io@evil.com/mycompany/x'],
  [13, 'only-mycompany', 'docker.io/mycompany/x?y'],
  [13, 'only-mycompany', 'docker.io/mycompany/../evil/x'],
  [13, 'only-mycompany', 'docker.io/mycompany//x'],
  [13, 'only-mycompany', 'docker.io/mycompany%2fx'],
  [14, 'only-mycompany', 'docker.io/mycompany/x '],
  [14, 'only-mycompany', '\tdocker.io/mycompany/x'],
  [14, 'only-mycompany', 'docker.io/mycompany/x\n'],
  [14, 'only-mycompany', 'docker.io/mycompany/x\u0000'],
  [14, 'only-mycompany', 'docker.io/mycompany/\u200bx'],
  [15, 'only-mycompany', ''],
  [17, 'only-v1', `mycompany/x:v1@${A}`],
  [18, 'only-mycompany', `evil/x@${A}`],
  [19, 'only-mycompany', 'mycompany/x@md5:d41d8cd98f00b204e9800998ecf8427e'],
  [19, 'only-mycompany', `mycompany/x@${A.toUpperCase()}`],
  [19, 'only-mycompany', `mycompany/x@${A.slice(0, -1)}`],
  [19, 'only-mycompany', `mycompany/x@${A}@${A}`],
  [20, 'no-latest', 'mycompany/x'],
  [20, 'no-latest', 'mycompany/x:latest'],
  [20, 'no-latest', `mycompany/x:latest@${A}`],
  [22, 'only-mycompany', 'my_reg/mycompany/x'],
  [39, 'by-digest', 'mycompany/absent:v1'],
];

for (const [number, namespace, image] of DENIED)
  test(`§7 ${String(number)}: with ${namespace}, ${JSON.stringify(image)} does not run`, async (t) => {
    const on = await cluster(t);
    if (!on) return;
    const before = on.registry.lines().length;
    const notAdmitted = (object: object): Promise<void> =>
      // What is no image at all is refused by the API server itself before it asks us, or by us: both are a refusal.
      assert.rejects(on.create(namespace, object, {dryRun: true}), (error: KubeError) => {
        assert.ok(error instanceof KubeError, String(error));
        assert.ok([400, 403, 422].includes(error.code), error.message);
        assert.doesNotMatch(error.message, /failed calling webhook|failed to call webhook/);
        return true;
      });
    await notAdmitted(pod([image]));
    // The same hidden behind one that is allowed, as init container, and as image volume.
    const good =
      namespace === 'by-digest' || namespace.startsWith('only') ? 'docker.io/mycompany/x:v1' : 'quay.io/a/b:1';
    const places: readonly object[] = [
      {initContainers: [{name: 'i', image}]},
      ...(image === '' ? [] : [{volumes: [{name: 'v', image: {reference: image}}]}]),
    ];
    for (const spec of places) await notAdmitted(pod([good], {spec}));
    const asked = on.registry.lines().slice(before).join('\n');
    assert.doesNotMatch(asked, /evil\.com|\.\.|%2f/i);
  });

const ADMITTED: readonly (readonly [number, Where, string])[] = [
  [2, 'only-mycompany', 'mycompany/x:v1'],
  [5, 'only-mycompany', 'index.docker.io/mycompany/x:v1'],
  [11, 'no-hub', 'quay.io:443/library/nginx'],
  [18, 'only-mycompany', `mycompany/x@${A}`],
  [18, 'only-mycompany', `docker.io/mycompany/x:v9@${A}`],
  [19, 'only-mycompany', `mycompany/x@sha512:${'b'.repeat(128)}`],
  [17, 'only-v1', 'mycompany/x:v1'],
  [20, 'no-latest', 'mycompany/x:v1'],
  [78, 'only-mycompany', 'localhost:5055/docker.io/mycompany/x:v1'],
  [39, 'by-digest', 'mycompany/x:v1'],
];
for (const [number, namespace, image] of ADMITTED)
  test(`§7 ${String(number)}: with ${namespace}, ${image.slice(0, 60)} runs`, async (t) => {
    const on = await cluster(t);
    if (!on) return;
    await on.create(namespace, pod([image]), {dryRun: true});
  });

test('§7 33, 34, 36: no annotation, label or owner makes a pod pass, with a name or a generated one', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const marks: readonly object[] = [
    {
      annotations: {
        'noost.dev/verified': 'true',
        'noost.dev/original-image': 'mycompany/x',
        'noost.dev/webhook': 'off',
      },
    },
    {labels: {'noost.dev/webhook': 'ignore', 'app.kubernetes.io/name': 'noost'}},
    {
      ownerReferences: [
        {apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'approved', uid: crypto.randomUUID(), controller: true},
      ],
    },
    {name: undefined, generateName: 'p-'},
    {finalizers: ['noost.dev/x']},
  ];
  for (const metadata of marks) await refused(on.create('only-mycompany', pod(['evil/x'], {metadata})));
});

test("§7 35: a namespace's own labels do not exempt it", async (t) => {
  const on = await cluster(t);
  if (!on) return;
  await on.kubernetes.kubectl([
    'label',
    'namespace',
    'only-mycompany',
    'noost.dev/webhook=off',
    'noost.dev/exempt=true',
  ]);
  await refused(on.create('only-mycompany', pod(['evil/x'])));
});

test('§7 78: rewritten to the node and read again, names lead back to what they were; policies judge that', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  await on.webhook.reconfigure({rewrite: {mode: 'node'}});
  try {
    const {digest} = on.registry.content.addImage('mycompany/x', 'v1');
    const {pod: made} = await on.create('only-mycompany', pod(['mycompany/x:v1']));
    const image = `localhost:5055/docker.io/mycompany/x:v1@${digest}`;
    assert.equal(made.spec.containers[0]?.image, image);
    // What was rewritten is applied again, as it is and as it was.
    for (const written of [image, 'mycompany/x:v1']) {
      await on.kubernetes.kubectl(['-n', 'only-mycompany', 'set', 'image', 'pod/app', `c0=${written}`]);
      assert.equal((await on.get('only-mycompany', 'app')).spec.containers[0]?.image, image);
    }
    await refused(on.create('only-mycompany', pod(['localhost:5055/quay.io/mycompany/x:v1'])));
    assert.match(await refused(on.create('no-hub', pod(['nginx:1']))), /docker\.io\/library\/nginx:1/);
  } finally {
    await on.webhook.reconfigure({});
  }
});

test('a wrong file changes nothing', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  await on.webhook.reconfigure({pin: {enabled: 'perhaps'}});
  assert.match(on.webhook.child.tail(5), /pin\.enabled .*expected true or false.*not reloaded: the old one stays/);
  await refused(on.create('only-mycompany', pod(['evil/x'])));
  await on.webhook.reconfigure({});
});
