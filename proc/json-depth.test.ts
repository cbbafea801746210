import assert from 'node:assert/strict';
import {test} from 'node:test';
import {isDeeperThan} from './json-depth.ts';

const isTooDeep = (text: string): boolean => isDeeperThan(64, Buffer.from(text));

test('isDeeperThan looks at what is no JSON, too', () => {
  for (const text of ['', '{"', '"\\', '}}}', '[]'.repeat(100), `"${'['.repeat(100)}"`, '['.repeat(64)])
    assert.ok(!isTooDeep(text), text);
  for (const text of ['['.repeat(65), '{"a":'.repeat(65), `"x"${'['.repeat(65)}`, `"\\\\"${'['.repeat(65)}`])
    assert.ok(isTooDeep(text), text);
});
