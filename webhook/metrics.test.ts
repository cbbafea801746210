import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {test} from 'node:test';
import {DECISION_REASONS} from './admission/decision.ts';
import {WebhookMetrics} from './metrics.ts';

interface Described {
  readonly name: string;
  readonly type: string;
  readonly labelNames: readonly string[];
}

/** Ours; those of the process and of Node have their own documentation. */
function ours(): Described[] {
  // prom-client does not type what its metrics are made of.
  const all = new WebhookMetrics('test').registry.getMetricsAsArray() as unknown as Described[];
  return all
    .filter(({name}) => name.startsWith('noost_'))
    .map(({name, type, labelNames}) => ({name, type, labelNames: [...labelNames]}));
}

function rows(page: string): Described[] {
  return [...page.matchAll(/^\| `(noost_\w+)` \| (\w+) \|([^|]*)\|/gm)].map(
    ([, name = '', type = '', labels = '']) => ({
      name,
      type,
      labelNames: [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label),
    }),
  );
}

const page = await readFile(join(import.meta.dirname, '../docs/webhook.md'), 'utf8');

test('docs/webhook.md has every metric with its kind and labels, and no other', () => {
  assert.deepEqual(rows(page), ours());
});

test('docs/webhook.md has every reason of a decision', () => {
  for (const reason of DECISION_REASONS) assert.ok(page.includes(`\`${reason}\``), reason);
});

test('metrics are named as Prometheus wants them (E-001)', () => {
  for (const {name, type} of ours()) {
    assert.equal(type === 'counter', name.endsWith('_total'), name);
    assert.doesNotMatch(name, /_(?:ms|milliseconds)$/);
  }
});

test('policies beyond a bound have one label together: whoever may write policies cannot fill a Prometheus (E-002)', async () => {
  const metrics = new WebhookMetrics('test');
  for (let i = 0; i < 5_000; i++)
    metrics.refused({
      policy: {kind: 'ImagePolicy', name: `p${String(i)}`, namespace: 'a'},
      mode: 'Enforce',
      accepts: false,
      reason: 'denied-by-rule',
    } as never);
  const text = await metrics.registry.metrics();
  const series = text.split('\n').filter((line) => line.startsWith('noost_policy_refusals_total{'));
  assert.equal(series.length, 501);
  assert.match(series.at(-1) ?? '', /policy="other".* 4500$/);
});
