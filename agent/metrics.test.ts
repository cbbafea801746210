import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {test} from 'node:test';
import {Metrics} from './metrics.ts';

interface Described {
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly labelNames: readonly string[];
}

/** Ours; those of the process and of Node have their own documentation. */
function ours(): Described[] {
  // prom-client does not type what its metrics are made of.
  const all = new Metrics('test').registry.getMetricsAsArray() as unknown as Described[];
  return all.filter(({name}) => name.startsWith('noost_'));
}

/** `| name | kind | labels | meaning |` for each metric that a page of documentation has in a table. */
function rows(page: string): Omit<Described, 'help'>[] {
  return [...page.matchAll(/^\| `(noost_\w+)` \| (\w+) \|([^|]*)\|/gm)].map(
    ([, name = '', type = '', labels = '']) => ({
      name,
      type,
      labelNames: [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label),
    }),
  );
}

test('docs/operate.md has every metric with its kind and labels, and no other', async () => {
  const page = await readFile(join(import.meta.dirname, '../docs/operate.md'), 'utf8');
  assert.deepEqual(
    rows(page),
    ours().map(({name, type, labelNames}) => ({name, type, labelNames: [...labelNames]})),
  );
});

test('metrics are named as Prometheus wants them (E-001)', () => {
  for (const {name, type, help} of ours()) {
    assert.equal(name.endsWith('_total'), type === 'counter', name);
    if (type === 'histogram') assert.match(name, /_(seconds|bytes)$/);
    assert.doesNotMatch(name, /_(count|sum|bucket)$|milli|_ms\b|_mb\b/);
    assert.ok(help.length > 10, `${name} says what it is`);
  }
});

test('labels are bounded: none of repositories, tags, digests or addresses (E-002)', () => {
  const allowed = 'kind method code result upstream source reason side where operation outcome version node'.split(' ');
  for (const {name, labelNames} of ours())
    for (const label of labelNames) assert.ok(allowed.includes(label), `${name} {${label}}`);
});
