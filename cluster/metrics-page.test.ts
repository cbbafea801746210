import assert from 'node:assert/strict';
import {test} from 'node:test';
import {MetricsPage} from './metrics-page.ts';

const PAGE = new MetricsPage(`# HELP a_total words
# TYPE a_total counter
a_total{source="cache",x="1"} 1.5e3
a_total{source="upstream",x="1"} 2
b 7 1700000000000
info{version="1.2.3",node="v26"} 1
nan NaN
`);

test('MetricsPage adds up what carries a label', () => {
  assert.equal(PAGE.sum('a_total'), 1502);
  assert.equal(PAGE.sum('a_total', ['source', 'cache']), 1500);
  assert.equal(PAGE.sum('b'), 7);
  assert.equal(PAGE.sum('none'), undefined);
  assert.ok(Number.isNaN(PAGE.sum('nan')));
});

test('MetricsPage reads a label', () => {
  assert.equal(PAGE.label('info', 'version'), '1.2.3');
  assert.equal(PAGE.label('info', 'ode'), undefined);
  assert.equal(PAGE.label('none', 'version'), undefined);
});
