import assert from 'node:assert/strict';
import {test} from 'node:test';
import {parseOptions} from './options.ts';

test('without a word there are five rounds of everything', () => {
  const options = parseOptions([]);
  assert.deepEqual([options?.rounds, options?.quick, options?.only], [5, false, []]);
});

test('scenarios, rounds and peers are read', () => {
  const options = parseOptions([
    '--only',
    'herd,soak',
    '--rounds',
    '9',
    '--peer',
    'zot=http://127.0.0.1:5000',
    '--peer-command',
    'x=run --port $PORT',
    '--checkout',
    'before=../before',
  ]);
  assert.deepEqual(options?.only, ['herd', 'soak']);
  assert.equal(options?.rounds, 9);
  assert.deepEqual(options?.peers, [{name: 'zot', value: 'http://127.0.0.1:5000'}]);
  assert.deepEqual(options?.peerCommands, [{name: 'x', value: 'run --port $PORT'}]);
  assert.deepEqual(options?.checkouts, [{name: 'before', value: '../before'}]);
});

for (const args of [['--rounds', '0'], ['--rounds', 'many'], ['--peer', 'nothing'], ['--unknown'], ['word']])
  test(`${args.join(' ')} is refused`, () => {
    assert.throws(() => parseOptions(args), SyntaxError);
  });
