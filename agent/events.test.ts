import assert from 'node:assert/strict';
import {test} from 'node:test';
import type {Log} from '../proc/log.ts';
import {newEvents} from './events.ts';
import {Metrics} from './metrics.ts';

/** A log that keeps its warnings. */
function newWarnings(): Log & {readonly warnings: string[]} {
  const warnings: string[] = [];
  const nothing = (): void => undefined;
  return {
    warnings,
    warn: (message) => warnings.push(message),
    debug: nothing,
    info: nothing,
    error: nothing,
    access: nothing,
    audit: nothing,
  };
}

test('that there is no room is said, but not at every blob, and not where the folder is at fault', () => {
  const log = newWarnings();
  let now = 0;
  const events = newEvents(new Metrics('test'), log, () => now);
  events.flight.failed('upstream');
  assert.deepEqual(log.warnings, []);
  for (let i = 0; i < 3; i++) events.flight.failed('store');
  assert.equal(log.warnings.length, 1);
  assert.match(log.warnings[0] ?? '', /no room .* minFreeDisk/);
  now = 600_000;
  events.flight.failed('store');
  assert.equal(log.warnings.length, 2);
  now = 1_200_000;
  events.store.degraded?.(new Error('EROFS'));
  events.flight.failed('store');
  assert.equal(log.warnings.length, 2);
});
