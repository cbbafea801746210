import assert from 'node:assert/strict';
import {mkdir, mkdtemp, rename, rm, symlink, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test, type TestContext} from 'node:test';
import {SILENT} from '../../kube/log.ts';
import {poll} from '../../test/poll.ts';
import {GivenCertificates} from './given-certificates.ts';
import {newAuthority, newLeaf} from './issue-certificate.ts';
import type {KeyPair} from './key-pair.ts';

const NAME = 'noost-webhook.noost-system.svc';
const DAY_MS = 86_400_000;

interface Files {
  readonly cert?: string;
  readonly key?: string;
  readonly ca?: string;
}

/** A folder as the kubelet mounts a Secret: files are links into a folder that is a link. */
async function rig(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'noost-given-'));
  t.after(() => rm(folder, {recursive: true}));
  let version = 0;
  const put = async (files: Files): Promise<void> => {
    const next = join(folder, `..${String(++version)}`);
    await mkdir(next);
    for (const [name, text = ''] of Object.entries(files)) await writeFile(join(next, name), text);
    await symlink(next, join(folder, '..tmp'));
    await rename(join(folder, '..tmp'), join(folder, '..data'));
  };
  for (const name of ['cert', 'key', 'ca']) await symlink(`..data/${name}`, join(folder, name));
  const file = (name: string): string => join(folder, name);
  const given = new GivenCertificates({
    certFile: file('cert'),
    keyFile: file('key'),
    caFile: file('ca'),
    names: [NAME],
    onChange: () => undefined,
    log: SILENT,
    everyMs: 10,
  });
  t.after(() => given[Symbol.asyncDispose]());
  return {given, put};
}

async function issue(authority: KeyPair, name = NAME): Promise<KeyPair> {
  return newLeaf(authority, [name], {nowMs: Date.now(), lifetimeMs: DAY_MS});
}

function filesOf({cert, key}: KeyPair, authority: KeyPair): Files {
  return {cert, key, ca: authority.cert};
}

test('GivenCertificates: read anew when a mounted Secret changes; the CA before is trusted on', async (t) => {
  const {given, put} = await rig(t);
  const [first, second] = [await newAuthority(Date.now()), await newAuthority(Date.now())];
  const [one, two] = [await issue(first), await issue(second)];
  given.start();
  await poll('it says what is missing', () => /ENOENT/.test(given.problem ?? ''));
  await put(filesOf(one, first));
  await poll('it is read', () => given.pair?.cert === one.cert);
  assert.equal(given.problem, undefined);
  await put(filesOf(two, second));
  await poll('the next is read', () => given.pair?.cert === two.cert);
  const prints = given.bundle.map(({fingerprint256}) => fingerprint256);
  assert.deepEqual(prints, [second.leaf.fingerprint256, first.leaf.fingerprint256]);
});

test('GivenCertificates: what does not go together is not taken, and said; what was read before is kept', async (t) => {
  const {given, put} = await rig(t);
  const [first, second] = [await newAuthority(Date.now()), await newAuthority(Date.now())];
  const [one, two, wrong] = [await issue(first), await issue(second), await issue(first, 'elsewhere.example')];
  await put(filesOf(one, first));
  given.start();
  await poll('it is read', () => given.pair?.cert === one.cert);
  const cases: readonly (readonly [Files, RegExp])[] = [
    [{cert: two.cert, key: one.key, ca: first.cert}, /cert and .*key: the key is not that of the certificate/],
    [{cert: two.cert, key: two.key, ca: first.cert}, /cert was not made by a CA in .*ca/],
    [filesOf(wrong, first), /cert is not for noost-webhook\.noost-system\.svc, by which the API server calls/],
    [{cert: 'nonsense', key: one.key, ca: first.cert}, /no certificate in PEM/],
    [{cert: one.cert, key: 'nonsense', ca: first.cert}, /the key cannot be read/],
    [{cert: one.cert, key: one.key, ca: ''}, /ca: no certificate in PEM/],
  ];
  for (const [files, problem] of cases) {
    await put(files);
    await poll(String(problem), () => problem.test(given.problem ?? ''));
    assert.equal(given.pair?.cert, one.cert);
    assert.deepEqual(given.bundle.length, 1);
    assert.doesNotMatch(given.problem ?? '', /PRIVATE/);
  }
  await put(filesOf(one, first));
  await poll('all is well', () => given.problem === undefined);
});
