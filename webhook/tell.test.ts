import assert from 'node:assert/strict';
import {test} from 'node:test';
import {AdmissionRig, pod, type Asked} from '../test/admission-rig.ts';
import type {EventToRecord} from '../kube/events.ts';
import {WebhookMetrics} from './metrics.ts';
import {clusterPolicy} from './policy/rig.ts';
import {newTeller} from './tell.ts';

/** What is said of one review of the validating pass. */
async function said(object: object, asked: Asked = {}) {
  await using rig = await AdmissionRig.start({
    policies: [
      clusterPolicy({default: 'Allow', rules: [{name: 'no', match: [{registry: 'quay.io'}], action: 'Deny'}]}),
    ],
  });
  await rig.review('validate', object, asked);
  const [told] = rig.told;
  assert.ok(told);
  const lines: unknown[] = [];
  const events: EventToRecord[] = [];
  const metrics = new WebhookMetrics('test');
  newTeller({
    metrics,
    log: {info: (...parts: unknown[]) => void lines.push(parts[1])},
    record: (event) => void events.push(event),
  })(told);
  return {line: lines[0] as Record<string, unknown>, events, metrics: await metrics.registry.metrics(), told};
}

test('a refusal is one line, one count and one Event about who looks after the pod', async () => {
  const ownerReferences = [{apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'rs', uid: 'u', controller: true}];
  const metadata = {name: undefined, generateName: 'rs-', ownerReferences};
  const {line, events, metrics, told} = await said(pod(['quay.io/x', 'nginx'], {metadata}));
  assert.deepEqual(
    [line['decision'], line['allowed'], line['reason'], line['name'], line['user']],
    [told.id, false, 'denied', 'rs-…', 'jane'],
  );
  assert.match(metrics, /noost_policy_refusals_total\{policy="production",mode="Enforce",reason="denied-by-rule"\} 1/);
  assert.equal(events.length, 1);
  assert.deepEqual(events[0]?.regarding, {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    name: 'rs',
    namespace: 'team-a',
    uid: 'u',
  });
  assert.ok(!(events[0]?.same ?? '').includes(told.id)); // tried again and again it is one event
});

test('a dry run writes a line, and no Event', async () => {
  const {line, events} = await said(pod(['quay.io/x']), {dryRun: true});
  assert.equal(line['dryRun'], true);
  assert.deepEqual(events, []);
});

test('a line tells a hundred images at most, the refused ones first', async () => {
  const {line} = await said(pod([...Array.from({length: 500}, () => 'nginx'), 'quay.io/x']));
  const images = line['images'] as {written: string}[];
  assert.equal(images.length, 100);
  assert.equal(images[0]?.written, 'quay.io/x');
  assert.equal(line['moreImages'], 401);
});
