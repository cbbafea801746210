import assert from 'node:assert/strict';
import {test} from 'node:test';
import {safeFields, safeText} from './log-fields.ts';

const TEXTS: readonly (readonly [text: string, safe: string])[] = [
  ['plain', 'plain'],
  ['GET https://cdn.example/a/b?X-Amz-Signature=abc&sig=d failed', 'GET https://cdn.example/a/b?[hidden] failed'],
  ['see https://user:pass@reg.example/v2/', 'see https://reg.example/v2/'],
  ['sent Bearer eyJhbGciOi.JSUz-I1_NiJ9 to it', 'sent Bearer [hidden] to it'],
  ['sent Basic dXNlcjpwYXNz', 'sent Basic [hidden]'],
  ['a'.repeat(3000), `${'a'.repeat(2048)}…`],
];

for (const [text, safe] of TEXTS) {
  test(`safeText of ${text.slice(0, 50)}`, () => {
    assert.equal(safeText(text), safe);
  });
}

test('safeFields hides secrets by their names, at any depth it shows', () => {
  const fields = {
    headers: {Authorization: 'Basic x', 'Noost-Node-Secret': 's', accept: '*/*'},
    token: 't',
    password: 'p',
    digest: 'd',
  };
  assert.deepEqual(safeFields(fields), {
    headers: {Authorization: '[hidden]', 'Noost-Node-Secret': '[hidden]', accept: '*/*'},
    token: '[hidden]',
    password: '[hidden]',
    digest: 'd',
  });
});

test('safeFields has a bound in width and depth, and for cycles', () => {
  const cycle: {self?: unknown} = {};
  cycle.self = cycle;
  const safe = safeFields({
    list: Array.from({length: 100}, (_, i) => i),
    cycle,
    bytes: Buffer.alloc(9),
    big: 5n,
    none: undefined,
  });
  assert.equal((safe['list'] as unknown[]).length, 32);
  assert.match(JSON.stringify(safe), /"\[deep\]"/);
  assert.equal(safe['bytes'], '[9 bytes]');
  assert.equal(safe['big'], '5');
  assert.equal('none' in safe, false);
});

test('safeFields shows errors with code and cause, and the stack only of bugs', () => {
  const cause = Object.assign(new Error('connect https://a.example/?sig=1'), {code: 'ECONNREFUSED'});
  const known = new (class UpstreamError extends Error {
    override readonly name = 'UpstreamError';
  })('down', {cause});
  const {error, bug} = safeFields({error: known, bug: new TypeError('x')}) as Record<string, Record<string, unknown>>;
  assert.deepEqual(error, {
    type: 'UpstreamError',
    message: 'down',
    cause: {type: 'Error', message: 'connect https://a.example/?[hidden]', code: 'ECONNREFUSED'},
  });
  assert.match(String(bug?.['stack']), /log-fields\.test\.ts/);
});
