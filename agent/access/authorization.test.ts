import assert from 'node:assert/strict';
import {test} from 'node:test';
import {parseAuthorization} from './authorization.ts';

const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;

for (const [name, header, expected] of [
  ['nothing', undefined, undefined],
  ['Basic', basic('alice:open sesame'), {scheme: 'basic', user: 'alice', password: 'open sesame'}],
  ['Basic with a colon in the password', basic('a:b:c'), {scheme: 'basic', user: 'a', password: 'b:c'}],
  ['Basic in UTF-8', basic('jörg:pässword'), {scheme: 'basic', user: 'jörg', password: 'pässword'}],
  ['basic in lower case', basic('a:b').replace('Basic', 'basic'), {scheme: 'basic', user: 'a', password: 'b'}],
  ['Bearer', 'Bearer a.b-c_d.e', {scheme: 'bearer', token: 'a.b-c_d.e'}],
  ['Basic without a colon', basic('alice'), 'malformed'],
  ['Basic without a user', basic(':x'), 'malformed'],
  ['Basic with a line break', basic('alice:x\nadmin'), 'malformed'],
  ['Basic with NUL', basic('alice\u0000:x'), 'malformed'],
  ['a huge one', basic(`a:${'b'.repeat(5000)}`), 'malformed'],
  ['another scheme', 'Digest username="alice"', 'malformed'],
  ['Bearer with two words', 'Bearer a b', 'malformed'],
] as const) {
  test(`parseAuthorization reads ${name}`, () => {
    assert.deepEqual(parseAuthorization(header), expected);
  });
}
