import assert from 'node:assert/strict';
import {test} from 'node:test';
import {isUser, parseHtpasswd} from './htpasswd.ts';

const HASH = '$2y$10$lulUTYmVsCI4D/1pL2xY/uSRiP/rGFwmRGtaBrlYnKehcxjESx8Bm';

test('parseHtpasswd reads what htpasswd -B writes, comments and empty lines aside', () => {
  const users = parseHtpasswd(
    `# people\n\nalice:${HASH}\r\n  ci-robot@example.com:${HASH.replace('$2y', '$2b')}\nJörg K:${HASH}`,
  );
  assert.deepEqual([...users.keys()], ['alice', 'ci-robot@example.com', 'Jörg K']);
  assert.equal(users.get('alice'), HASH);
});

for (const [name, line, message] of [
  ['a password in clear', 'alice:secret', /line 2: expected a bcrypt hash/],
  ['MD5 as apache makes it', 'alice:$apr1$OjJgTlZ1$hb7vYnMGzXjjO9nDGQ5PH1', /line 2: expected a bcrypt hash/],
  ['SHA-1', 'alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=', /line 2: expected a bcrypt hash/],
  ['a crypt hash', 'alice:rl.3StKT.4T8M', /line 2: expected a bcrypt hash/],
  ['no user', `:${HASH}`, /line 2: expected user:hash/],
  ['no hash', 'alice', /line 2: expected user:hash/],
  ['a user twice', `bob:${HASH}`, /line 2: expected each user once/],
  ['a hash with something behind it', `alice:${HASH}:x`, /line 2: expected a bcrypt hash/],
  ['a cost that would take minutes', `alice:${HASH.replace('$10$', '$31$')}`, /line 2: expected a bcrypt cost/],
  ['a cost that is none', `alice:${HASH.replace('$10$', '$03$')}`, /line 2: expected a bcrypt cost/],
  ['an escape sequence', `al\u001b[2Jice:${HASH}`, /line 2: expected a user name/],
] as const) {
  test(`parseHtpasswd refuses ${name}, naming the line and not quoting it`, () => {
    assert.throws(
      () => parseHtpasswd(`bob:${HASH}\n${line}\n`),
      (error: Error) => {
        assert.ok(error instanceof SyntaxError);
        assert.match(error.message, message);
        assert.ok(!error.message.includes('alice') && !error.message.includes('secret'));
        return true;
      },
    );
  });
}

test('parseHtpasswd has a bound', () => {
  const many = Array.from({length: 10_001}, (_, i) => `u${i}:${HASH}`).join('\n');
  assert.throws(() => parseHtpasswd(many), /line 10001: expected 10000 users at most/);
});

test('isUser refuses what a header, a log line or the file cannot hold', () => {
  for (const good of ['a', 'a b', 'x@y', 'ü', 'a'.repeat(255)]) assert.ok(isUser(good), good);
  for (const bad of ['', ' ', ' a', 'a ', 'a:b', 'a\nb', 'a\u0000', 'a\u202eb', 'a'.repeat(256)])
    assert.ok(!isUser(bad), JSON.stringify(bad));
});
