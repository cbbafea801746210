import assert from 'node:assert/strict';
import {test} from 'node:test';
import {Counter, Histogram, Registry} from 'prom-client';
import {TalliedCounter, TimesHistogram} from './tally.ts';

const BOUNDS = [0.001, 0.5, 10];
const OBSERVED = [0, 0.0005, 0.001, 0.0011, 0.5, 9.99, 10, 10.01, 600];

test('what is counted in plain numbers is scraped as prom-client would have it', async () => {
  const [ours, theirs] = [new Registry(), new Registry()];
  const options = {name: 'noost_a_seconds', help: 'As long as it took', labelNames: ['kind', 'result']};
  const times = new TimesHistogram({...options, buckets: BOUNDS});
  ours.registerMetric(times);
  const reference = new Histogram({...options, buckets: BOUNDS, registers: [theirs]});
  const counted = {name: 'noost_b_total', help: 'How often', labelNames: ['code']};
  const counter = new TalliedCounter(counted);
  ours.registerMetric(counter);
  const counterReference = new Counter({...counted, registers: [theirs]});
  const tally = counter.tally({code: '200'});
  for (const scrape of [1, 2]) {
    for (const seconds of OBSERVED) {
      times.times({kind: 'blob', result: 'hit'}).observe(seconds * scrape);
      reference.observe({kind: 'blob', result: 'hit'}, seconds * scrape);
    }
    times.times({kind: 'tag', result: 'miss'}).observe(1);
    reference.observe({kind: 'tag', result: 'miss'}, 1);
    tally.count += 3;
    counterReference.inc({code: '200'}, 3);
    assert.equal(await ours.metrics(), await theirs.metrics());
    assert.equal(await ours.metrics(), await theirs.metrics(), 'a scrape counts nothing');
  }
});
