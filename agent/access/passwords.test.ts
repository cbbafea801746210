import assert from 'node:assert/strict';
import {test} from 'node:test';
import {hashSync} from 'bcryptjs';
import {Passwords} from './passwords.ts';

const ALICE = hashSync('open sesame', 4);

async function withPasswords(users: Record<string, string>, use: (passwords: Passwords) => Promise<void>) {
  const passwords = new Passwords(new Map(Object.entries(users)));
  try {
    await use(passwords);
  } finally {
    await passwords.close();
  }
}

test('Passwords: the right password is right, and all else is wrong in the same word', async () => {
  await withPasswords({alice: ALICE}, async (passwords) => {
    assert.deepEqual(await passwords.check('alice', 'open sesame', '10.0.0.1'), {user: 'alice'});
    for (const [user, password] of [
      ['alice', 'open sesam'],
      ['alice', ''],
      ['Alice', 'open sesame'],
      ['nobody', 'open sesame'],
      ['__proto__', 'open sesame'],
      ['constructor', 'open sesame'],
    ] as const)
      assert.equal(await passwords.check(user, password, '10.0.0.1'), 'wrong', `${user} ${password}`);
  });
});

test('Passwords: with no users at all everybody is wrong', async () => {
  await withPasswords({}, async (passwords) => {
    assert.equal(await passwords.check('alice', 'open sesame', '10.0.0.1'), 'wrong');
  });
});

test('Passwords: a changed or removed line takes effect at once, also for who is remembered', async () => {
  await withPasswords({alice: ALICE}, async (passwords) => {
    const before = passwords.generation('alice');
    assert.deepEqual(await passwords.check('alice', 'open sesame', '10.0.0.1'), {user: 'alice'});
    passwords.replace(new Map([['alice', hashSync('other', 4)]]));
    assert.equal(await passwords.check('alice', 'open sesame', '10.0.0.1'), 'wrong');
    assert.notEqual(passwords.generation('alice'), before);
    passwords.replace(new Map());
    assert.equal(passwords.generation('alice'), undefined);
    passwords.replace(new Map([['alice', ALICE]]));
    assert.equal(passwords.generation('alice'), before);
  });
});

test('Passwords: guesses run out, and remembered credentials do not need any', async () => {
  await withPasswords({alice: ALICE}, async (passwords) => {
    assert.deepEqual(await passwords.check('alice', 'open sesame', '10.0.0.1'), {user: 'alice'});
    const results = [];
    for (let i = 0; i < 12; i++) results.push(await passwords.check('alice', `guess ${i}`, '10.0.0.2'));
    assert.deepEqual(results.slice(0, 10), Array(10).fill('wrong'));
    assert.ok(typeof results[11] === 'object' && 'waitMs' in results[11] && results[11].waitMs > 0);
    assert.deepEqual(await passwords.check('alice', 'open sesame', '10.0.0.1'), {user: 'alice'});
  });
});

test('Passwords: the same credentials from many connections are compared once, and too many others are told to come again', async () => {
  await withPasswords({alice: ALICE}, async (passwords) => {
    const same = await Promise.all(
      Array.from({length: 100}, () => passwords.check('alice', 'open sesame', '10.0.0.1')),
    );
    assert.deepEqual(new Set(same.map((one) => JSON.stringify(one))), new Set(['{"user":"alice"}']));
    const results = await Promise.allSettled(
      Array.from({length: 100}, (_, i) => passwords.check(`user${i}`, 'x', `10.1.${i}.1`)),
    );
    const busy = results.filter((one) => one.status === 'rejected');
    assert.ok(busy.length > 0 && busy.every(({reason}) => (reason as Error).name === 'BusyError'));
  });
});
