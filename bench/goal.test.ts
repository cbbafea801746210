import assert from 'node:assert/strict';
import {test} from 'node:test';
import {limitGoal, ratioGoal} from './goal.ts';
import {Results} from './results.ts';
import {plotScenario} from './plot.ts';
import {renderScenario} from './table.ts';

const goals = [
  ratioGoal({of: 'a', metric: 'throughput', to: 'nginx', atLeast: 1}),
  ratioGoal({of: 'a', metric: 'cpuPerGb', to: 'nginx', atMost: 1.3}),
  limitGoal({of: 'a', metric: 'peakMemory', atMost: 200}),
];

function measured(): ReturnType<Results['finish']> {
  const results = new Results();
  for (const throughput of [3, 1, 2]) results.add('a', 'noost', {throughput});
  for (const throughput of [2, 2, 9]) results.add('a', 'nginx', {throughput});
  results.add('a', 'noost', {peakMemory: 201});
  results.remark('a', 'x<y', 'could not & did not run');
  return results.finish('scenario', 'Title', 1, goals);
}

test('goals are judged by medians, and what was not measured is not judged', () => {
  assert.deepEqual(
    measured().verdicts.map(({shown, reached}) => [shown, reached]),
    [
      ['1×', true],
      ['not measured', undefined],
      ['201 MiB peak', false],
    ],
  );
});

test('the table has every median with its spread, every verdict and every remark', () => {
  const text = renderScenario(measured());
  assert.match(text, /a +noost +2 +GB\/s +1 … 3\n/);
  assert.match(text, /a +nginx +2 +GB\/s +2 … 9 +1×/);
  assert.match(text, /✔ a: GB\/s ≥ 1× nginx: 1×/);
  assert.match(text, /\? a: CPU s\/GB ≤ 1.3× nginx: not measured/);
  assert.match(text, /✘ a: ≤ 200 MiB peak: 201 MiB peak/);
  assert.match(text, /! a, x<y: could not & did not run/);
});

test('the plot has a bar for each contestant, and names cannot break out of it', () => {
  const results = new Results();
  results.add('a<b', 'noost', {throughput: 2});
  results.add('a<b', '"peer&', {throughput: 1});
  const svg = plotScenario(results.finish('s', 't', 1, []), 'machine · node');
  assert.equal(svg.match(/<rect /g)?.length, 3); // the ground and two bars
  assert.match(svg, /a&#60;b: GB\/s/);
  assert.match(svg, /"peer&#38;/);
});
