import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import type {IncomingMessage, ServerResponse} from 'node:http';
import {test} from 'node:test';
import type {OpenBlob} from '../store/contract.ts';
import {BLOCK_BYTES, newSumKey, sumOf, Sums} from '../store/sums.ts';
import type {Exchange} from './exchange.ts';
import {type BlobAnswer, sendHeld} from './held.ts';
import {Proven} from './proven.ts';
import {Repeats, type Suspicion} from './repeats.ts';
import type {Sender} from './send.ts';
import type {Span} from './span.ts';
import {type Sent, WrongBytesError} from './transfer.ts';

const DIGEST = `sha256:${'b'.repeat(64)}` as const;
const BLOCKS = 100;
const SIZE = BLOCKS * BLOCK_BYTES;
const key = newSumKey();
const bytes = randomBytes(BLOCK_BYTES);
const sums = new Sums(key, Buffer.concat(Array.from({length: BLOCKS}, (_, at) => sumOf(key, at, bytes))));

/** A blob that one client asks for; how it leaves is what `send` does. */
function newRig(verdict: () => Promise<Sums | undefined> = () => Promise.resolve(sums)) {
  const repeats = new Repeats();
  let send: (span: Span, sent: Sent) => Promise<undefined> = () => Promise.resolve(undefined);
  const sender = {
    missing: () => Promise.resolve([]),
    send: (_: ServerResponse, span: Span, sent: Sent) => send(span, sent),
  } as unknown as Sender;
  const res = {writeHead: () => undefined, end: () => undefined} as unknown as ServerResponse;
  const req = {headers: {}} as IncomingMessage;
  const exchange = {address: '127.0.0.1', sent: () => undefined} as unknown as Exchange;
  const answer: BlobAnswer = {req, res, exchange, digest: DIGEST, head: {}};
  const blob = {fd: -1, sizeBytes: SIZE} as OpenBlob;
  let hashed = 0;
  return {
    hashed: () => hashed,
    ask: (how: typeof send = () => Promise.resolve(undefined)) => {
      send = how;
      return sendHeld({sender, repeats}, answer, blob, () => {
        hashed++;
        return verdict();
      });
    },
    suspicion: (): Promise<Suspicion> => repeats.suspicion('127.0.0.1 ', DIGEST, () => Promise.resolve([])),
  };
}

test('a blob is hashed for who asks again once, and then only checked', async () => {
  const rig = newRig();
  const seen: string[] = [];
  for (let i = 0; i < 4; i++)
    await rig.ask(async (span) => {
      await span.moved();
      seen.push(span.checks === undefined ? (span.limit() === SIZE ? 'all' : 'less') : 'checked');
    });
  assert.deepEqual(seen, ['all', 'all', 'checked', 'checked']);
  assert.equal(rig.hashed(), 1);
});

for (const [when, expected] of [
  ['before', 0],
  ['after', 68],
] as const)
  test(`what is read from the disk ${when} the blob was found right is${expected > 0 ? '' : ' not'} in doubt`, async () => {
    const verdict = Promise.withResolvers<Sums>();
    const rig = newRig(() => verdict.promise);
    await rig.ask();
    await rig.ask(async (span, sent) => {
      if (when === 'after') verdict.resolve(sums);
      else setTimeout(() => verdict.resolve(sums), 20);
      if (when === 'after') await span.moved();
      sent(4 * BLOCK_BYTES, false, 32 * BLOCK_BYTES);
      await span.moved();
    });
    const suspicion = await rig.suspicion();
    assert.ok(suspicion instanceof Proven);
    const doubted = [...Array(BLOCKS).keys()].filter((at) => !suspicion.isSound(at * BLOCK_BYTES, 1));
    assert.equal(doubted.length, expected);
    if (expected > 0) assert.equal(doubted[0], 32);
  });

test('a block that is not what it was breaks the answer off, and the blob is hashed before the client can ask again', async () => {
  const rig = newRig();
  await rig.ask();
  await rig.ask((span) => span.moved().then(() => undefined));
  assert.equal(rig.hashed(), 1);
  const wrong = rig.ask(() => Promise.reject(new WrongBytesError('wrong')));
  await assert.rejects(wrong, WrongBytesError);
  assert.equal(rig.hashed(), 2);
});
