import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {test} from 'node:test';
import type {KubeObject} from '../../kube/object.ts';
import {CLUSTER_IMAGE_POLICIES, EVENTS, IMAGE_POLICIES, IMAGE_POLICY_EXCEPTIONS, PODS} from '../../kube/resources.ts';
import {pod} from '../admission-rig.ts';
import {poll} from '../poll.ts';
import {sharedPeer} from '../shared-peer.ts';
import {refused, WebhookCluster, type Pod} from '../webhook-cluster.ts';

const cluster = sharedPeer(() => WebhookCluster.start());

const OURS = {default: 'Deny', rules: [{name: 'ours', match: [{registry: 'reg.test'}], action: 'Allow'}]};

test('the real API server: every image of a pod is pinned to what its tag was, and the tag is kept', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const image = on.registry.content.addImage('acme/app', 'v1');
  const index = on.registry.content.addIndex('library/tool', 'latest', [on.registry.content.addImage('library/tool')]);
  const namespace = await on.namespace('pinned');
  const spec = {
    initContainers: [{name: 'side', image: 'docker.io/library/tool', restartPolicy: 'Always'}],
    volumes: [{name: 'v', image: {reference: 'reg.test/acme/app:v1', pullPolicy: 'IfNotPresent'}}],
  };
  const {pod: made, warnings} = await on.create(namespace, pod(['reg.test/acme/app:v1', 'tool'], {spec}));
  const pinned = `reg.test/acme/app:v1@${image.digest}`;
  assert.deepEqual(
    made.spec.containers.map((one) => one.image),
    [pinned, `tool:latest@${index}`],
  );
  assert.deepEqual(
    made.spec.initContainers?.map((one) => one.image),
    [`docker.io/library/tool:latest@${index}`],
  );
  assert.equal(made.spec.volumes?.find(({name}) => name === 'v')?.image?.reference, pinned);
  assert.deepEqual(warnings, []);
});

test('the real API server: a refusal names field, image, policy, rule and decision; log, Event and audit log have it, too', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('refused');
  await on.policy(namespace, OURS);
  const message = await refused(
    on.create(namespace, pod(['reg.test/acme/app:v1', 'evil/x:1'], {metadata: {name: 'bad'}})),
  );
  assert.match(message, /container c1 \(spec\.containers\[1\]\.image\): evil\/x:1, which is docker\.io\/evil\/x:1/);
  assert.match(message, /policy refused/);
  assert.doesNotMatch(message, /c0/);
  const [, decision = ''] = /decision ([0-9a-f]{12})/.exec(message) ?? [];
  const line = await poll('the log has it', () => on.webhook.audit().find((one) => one.decision === decision));
  assert.deepEqual([line.pass, line.allowed, line.reason, line.name], ['validate', false, 'denied', 'bad']);
  const event = await poll('the event is written', async () => {
    const {items} = await on.client.list<KubeObject & {reason: string; message: string}>(EVENTS, {namespace});
    return items.find(({reason}) => reason === 'ImageDenied');
  });
  assert.match(event.message, /evil\/x:1/);
  const audited = await poll('the audit log has it', async () => {
    const log = await readFile(join(on.kubernetes.folder, 'log', 'audit.log'), 'utf8');
    return log.split('\n').find((one) => one.includes(decision));
  });
  const {annotations} = JSON.parse(audited) as {annotations: Record<string, string>};
  assert.equal(annotations['validate.noost.dev/decision'], decision);
  assert.match(
    annotations['validate.noost.dev/images'] ?? '',
    /evil\/x:1 is docker\.io\/evil\/x:1, refused by refused/,
  );
});

test('the real API server: an update that changes an image is pinned and judged (kubectl set image)', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('updated');
  await on.policy(namespace, OURS);
  const second = on.registry.content.addImage('acme/app', 'v2', ['two']);
  on.registry.content.addImage('acme/app', 'v1');
  await on.create(
    namespace,
    pod(['reg.test/acme/app:v1'], {spec: {initContainers: [{name: 'i', image: 'reg.test/acme/app:v1'}]}}),
  );
  await on.kubernetes.kubectl([
    '-n',
    namespace,
    'set',
    'image',
    'pod/app',
    'c0=reg.test/acme/app:v2',
    'i=reg.test/acme/app:v2',
  ]);
  const {spec} = await on.get(namespace, 'app');
  assert.equal(spec.containers[0]?.image, `reg.test/acme/app:v2@${second.digest}`);
  assert.equal(spec.initContainers?.[0]?.image, `reg.test/acme/app:v2@${second.digest}`);
  for (const container of ['c0', 'i'])
    await assert.rejects(
      on.kubernetes.kubectl(['-n', namespace, 'set', 'image', 'pod/app', `${container}=evil/x`]),
      /denied the request[\s\S]*evil\/x/,
    );
  await assert.rejects(
    on.kubernetes.kubectl(['-n', namespace, 'set', 'image', 'pod/app', 'c0=evil/x', '--dry-run=server']),
    /denied the request/,
  );
});

test('the real API server: an ephemeral container is pinned and judged, and what is there stays as it is', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('debugged');
  on.registry.content.addImage('acme/app', 'v1');
  const image = on.registry.content.addImage('acme/debug', 'v1', ['debug']);
  await on.create(namespace, pod(['reg.test/acme/app:v1']));
  await on.policy(namespace, OURS);
  const debug = (target: string, ...more: string[]): Promise<string> =>
    on.kubernetes.kubectl(['-n', namespace, 'debug', 'app', `--image=${target}`, '--', 'sh', ...more]);
  await assert.rejects(debug('evil/debug'), /ephemeral container .*evil\/debug/);
  await debug('reg.test/acme/debug:v1');
  await assert.rejects(debug('evil/debug'), /ephemeral container .*evil\/debug/);
  await debug('reg.test/acme/debug:v1');
  const {spec} = await on.get(namespace, 'app');
  const pinned = `reg.test/acme/debug:v1@${image.digest}`;
  assert.deepEqual(
    spec.ephemeralContainers?.map((one) => one.image),
    [pinned, pinned],
  );
});

test('the real API server: image volumes are judged', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('mounted');
  await on.policy(namespace, OURS);
  const volumes = [{name: 'v', image: {reference: 'evil/data:1'}}];
  const message = await refused(on.create(namespace, pod(['reg.test/acme/app:v1'], {spec: {volumes}})));
  assert.match(message, /image volume v \(spec\.volumes\[0\]\.image\.reference\): evil\/data:1/);
});

test('the real API server: kubectl apply of a bare pod after its tag moved changes nothing', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('applied');
  const {content} = on.registry;
  const image = content.addImage('acme/moving', 'v1', ['one']);
  const manifest = JSON.stringify(pod(['reg.test/acme/moving:v1'], {metadata: {namespace}}));
  await on.kubernetes.kubectl(['apply', '-f', '-'], manifest);
  const before = await on.get(namespace, 'app');
  assert.equal(before.spec.containers[0]?.image, `reg.test/acme/moving:v1@${image.digest}`);
  const moved = content.addImage('acme/moving', 'v1', ['two']);
  for (const flags of [[], ['--server-side', '--force-conflicts']]) {
    await on.kubernetes.kubectl(['apply', ...flags, '-f', '-'], manifest);
    const after = await on.get(namespace, 'app');
    assert.equal(after.metadata.uid, before.metadata.uid);
    assert.deepEqual(after.spec, before.spec);
  }
  assert.notEqual(moved.digest, image.digest);
});

test('the real API server: a dry run gets the same verdict and leaves no trace', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('rehearsed');
  await on.policy(namespace, OURS);
  const image = on.registry.content.addImage('acme/app', 'v1');
  const {pod: made} = await on.create(namespace, pod(['reg.test/acme/app:v1']), {dryRun: true});
  assert.equal(made.spec.containers[0]?.image, `reg.test/acme/app:v1@${image.digest}`);
  await refused(on.create(namespace, pod(['evil/x']), {dryRun: true}));
  await refused(on.create(namespace, pod(['evil/y'], {metadata: {name: 'real'}})));
  const events = await poll('the event of what was no dry run', async () => {
    const {items} = await on.client.list<KubeObject & {message: string}>(EVENTS, {namespace});
    return items.length > 0 && items;
  });
  assert.ok(events.every(({message}) => message.includes('evil/y')));
  assert.deepEqual((await on.client.list<Pod>(PODS, {namespace})).items, []);
});

test('the real API server: policies take effect and are lifted without a restart; a tenant can only tighten', async (t) => {
  const on = await cluster(t);
  if (!on) return;
  const namespace = await on.namespace('changing');
  const attempt = (image: string): Promise<unknown> =>
    on.create(namespace, pod([image], {metadata: {generateName: 'p-', name: undefined}}));
  await attempt('evil/x:1');
  await on.policy(namespace, OURS);
  assert.match(await refused(attempt('evil/x:1')), /policy changing/);
  const spec = {
    mode: 'Enforce',
    default: 'Allow',
    rules: [{name: 'no', match: [{repository: 'acme/old'}], action: 'Deny'}],
  };
  await on.client.create(IMAGE_POLICIES, {namespace}, {metadata: {name: 'tenant'}, spec});
  await on.untilInEffect(IMAGE_POLICIES, 'tenant', namespace);
  await refused(attempt('evil/x:1'));
  assert.match(await refused(attempt('reg.test/acme/old:1')), /tenant/);
  const expires = new Date(Date.now() + 3_600_000).toISOString();
  const exception = {
    policies: [namespace],
    match: [{repository: 'evil/x'}],
    expires,
    reason: 'incident 42',
    owner: 'platform',
  };
  await on.client.create(IMAGE_POLICY_EXCEPTIONS, {}, {metadata: {name: namespace}, spec: exception});
  await on.untilInEffect(IMAGE_POLICY_EXCEPTIONS, namespace);
  await attempt('evil/x:1');
  await on.client.delete(IMAGE_POLICY_EXCEPTIONS, {name: namespace});
  await poll('the exception is gone', () => refused(attempt('evil/x:1')).then(Boolean));
  await on.client.delete(CLUSTER_IMAGE_POLICIES, {name: namespace});
  await poll('the policy is gone', () => attempt('evil/x:1').then(() => true));
});

for (const [what, rule, told] of [
  [
    'that asks for signatures',
    {name: 'r', match: [{}], action: 'Allow', require: {signatures: []}},
    /not supported in this version/,
  ],
  [
    'whose pattern cannot be read',
    {name: 'r', match: [{tag: {regex: '('}}], action: 'Deny'},
    /spec\.rules\[0\]\.match\[0\]\.tag/,
  ],
  [
    'whose pattern leaves a registry open at its end',
    {name: 'r', match: [{registry: 'reg.*'}], action: 'Allow'},
    /spec\.rules\[0\]\.match\[0\]\.registry/,
  ],
] as const)
  test(`the real API server: a policy ${what} is refused with the field, and never admits`, async (t) => {
    const on = await cluster(t);
    if (!on) return;
    const spec = {mode: 'Enforce', default: 'Deny', rules: [rule]};
    await assert.rejects(
      on.kubernetes.kubectl(
        ['apply', '-f', '-'],
        JSON.stringify({apiVersion: 'noost.dev/v1alpha1', kind: 'ClusterImagePolicy', metadata: {name: 'wrong'}, spec}),
      ),
      told,
    );
    assert.equal(await on.client.find(CLUSTER_IMAGE_POLICIES, {name: 'wrong'}), undefined);
  });
