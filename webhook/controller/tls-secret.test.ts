import assert from 'node:assert/strict';
import {test} from 'node:test';
import {newAuthority, newLeaf} from './issue-certificate.ts';
import {isIssuedBy, type KeyPair} from './key-pair.ts';
import {dataOf, nextCertificates, NOTHING, readTlsSecret, type Certificates} from './tls-secret.ts';

const DAY_MS = 86_400_000;
const NOW = Date.parse('2026-11-25T20:00:00Z');
const NAMES = ['noost-webhook.noost-system.svc'];
const LIFETIME_MS = 90 * DAY_MS;

async function made(atMs = NOW): Promise<Certificates & {authority: KeyPair; leaf: KeyPair}> {
  const authority = await newAuthority(atMs);
  const leaf = await newLeaf(authority, NAMES, {nowMs: atMs, lifetimeMs: LIFETIME_MS});
  return {authority, leaf, previous: [], problems: []};
}

function read(data: Readonly<Record<string, string>>, nowMs = NOW): Certificates {
  return readTlsSecret({metadata: {}, data}, {names: NAMES, nowMs});
}

function wanted(nowMs = NOW, isLeader = true) {
  return {names: NAMES, lifetimeMs: LIFETIME_MS, nowMs, isLeader};
}

test('nextCertificates(): what was written is read back, and nothing is to be done', async () => {
  const own = await made();
  const found = read(dataOf(own));
  assert.deepEqual(found.problems, []);
  assert.equal(await nextCertificates(found, NOTHING, wanted()), undefined);
});

test('nextCertificates(): where there was nothing, a CA and a leaf that it made, for the names', async () => {
  const next = await nextCertificates(NOTHING, NOTHING, wanted());
  assert.ok(next?.authority && next.leaf);
  assert.ok(isIssuedBy(next.leaf.leaf, next.authority.leaf));
  assert.ok(next.leaf.leaf.checkHost(NAMES[0] ?? ''));
  assert.equal(next.leaf.leaf.ca, false);
  assert.deepEqual(next.previous, []);
});

test('nextCertificates(): a Secret that was deleted comes back with another CA, the old one trusted beside it', async () => {
  const known = await made();
  const next = await nextCertificates(NOTHING, known, wanted(NOW, false));
  assert.notEqual(next?.authority?.cert, known.authority.cert);
  assert.deepEqual(
    next?.previous.map((one) => one.fingerprint256),
    [known.authority.leaf.fingerprint256],
  );
});

/** What somebody did to the Secret. */
const DAMAGES: readonly (readonly [string, Record<string, string | undefined>])[] = [
  ['without its key', {'tls.key': undefined}],
  ['with nonsense', {'tls.crt': 'bm9uc2Vuc2U='}],
  ['without the key of its CA', {'ca.key': undefined}],
  ['with all of it empty', {'tls.crt': '', 'tls.key': '', 'ca.crt': '', 'ca.key': ''}],
];
for (const [name, damage] of DAMAGES) {
  test(`nextCertificates(): one that is found ${name} comes back as it was known`, async () => {
    const known = await made();
    const data = Object.fromEntries(
      Object.entries({...dataOf(known), ...damage}).filter((one): one is [string, string] => one[1] !== undefined),
    );
    const found = read(data);
    assert.notDeepEqual(found.problems, []);
    const next = await nextCertificates(found, known, wanted(NOW, false));
    assert.deepEqual([next?.authority?.cert, next?.leaf?.cert], [known.authority.cert, known.leaf.cert]);
  });
}

test("nextCertificates(): another's CA, leaf or names are not taken for ours", async () => {
  const [own, other] = [await made(), await made()];
  const strange = read({...dataOf(own), ...pick(dataOf(other), 'tls.crt', 'tls.key')});
  assert.match(strange.problems.join(), /not made by the CA/);
  const leaf = await newLeaf(own.authority, ['elsewhere.example'], {nowMs: NOW, lifetimeMs: LIFETIME_MS});
  assert.match(read(dataOf({...own, leaf})).problems.join(), /not for noost-webhook/);
  const swapped = read({...dataOf(own), ...pick(dataOf(other), 'ca.key')});
  assert.match(swapped.problems.join(), /the key is not that of the certificate/);
  assert.match(read(dataOf({...own, authority: own.leaf})).problems.join(), /not the certificate of a CA/);
});

test('nextCertificates(): the leader renews with a third of the life left, others with a tenth, by the same CA', async () => {
  const own = await made();
  const at = (share: number): number => NOW + LIFETIME_MS * share;
  const due = async (share: number, isLeader: boolean): Promise<boolean> => {
    const next = await nextCertificates(read(dataOf(own), at(share)), own, wanted(at(share), isLeader));
    if (next) assert.equal(next.authority?.cert, own.authority.cert);
    return next !== undefined;
  };
  assert.equal(await due(0.65, true), false);
  assert.equal(await due(0.68, true), true);
  assert.equal(await due(0.68, false), false);
  assert.equal(await due(0.91, false), true);
});

test('nextCertificates(): a CA in its last year is replaced by the leader, and trusted beside the new one for a day', async () => {
  const own = await made();
  const late = own.authority.notAfterMs - 300 * DAY_MS;
  const leaf = await newLeaf(own.authority, NAMES, {nowMs: late, lifetimeMs: LIFETIME_MS});
  const old = read(dataOf({...own, leaf}), late);
  assert.equal(await nextCertificates(old, NOTHING, wanted(late, false)), undefined);
  const next = await nextCertificates(old, NOTHING, wanted(late));
  assert.ok(next?.authority && next.leaf);
  assert.notEqual(next.authority.cert, own.authority.cert);
  assert.equal(next.previous[0]?.fingerprint256, own.authority.leaf.fingerprint256);
  const after = (ms: number, isLeader: boolean): Promise<Certificates | undefined> =>
    nextCertificates(read(dataOf(next), late + ms), NOTHING, wanted(late + ms, isLeader));
  assert.equal(await after(DAY_MS / 2, true), undefined);
  assert.equal(await after(DAY_MS * 2, false), undefined);
  const settled = await after(DAY_MS * 2, true);
  assert.deepEqual([settled?.previous, settled?.leaf?.cert], [[], next.leaf.cert]);
});

function pick(data: Readonly<Record<string, string>>, ...keys: readonly string[]): Record<string, string> {
  return Object.fromEntries(keys.map((key) => [key, data[key] ?? '']));
}
