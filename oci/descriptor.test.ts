import assert from 'node:assert/strict';
import {test} from 'node:test';
import {childrenOf, readManifest} from './descriptor.ts';
import {DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST} from './media-type.ts';

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`;
const child = (letter: string, more: object = {}): object => ({
  mediaType: 'application/x',
  digest: digest(letter),
  size: 1,
  ...more,
});
const read = (body: unknown, contentType?: string): ReturnType<typeof readManifest> =>
  readManifest(Buffer.from(JSON.stringify(body)), contentType);

for (const [what, body, header, mediaType] of [
  ['its own mediaType before the header', {mediaType: OCI_INDEX, manifests: []}, 'text/plain', OCI_INDEX],
  [
    'the header where the body says nothing',
    {config: child('a'), layers: []},
    `${DOCKER_MANIFEST}; charset=utf-8`,
    DOCKER_MANIFEST,
  ],
  ['its shape under a generic header', {schemaVersion: 2, layers: []}, 'application/octet-stream', OCI_MANIFEST],
  ['an index by its shape', {manifests: []}, 'application/json', OCI_INDEX],
  [
    'a docker list by its children',
    {schemaVersion: 2, manifests: [child('a', {mediaType: DOCKER_MANIFEST})]},
    '',
    DOCKER_LIST,
  ],
] as const)
  test(`readManifest() takes ${what} (A-134)`, () => {
    assert.equal(read(body, header).mediaType, mediaType);
  });

test('readManifest() lists config and layers, but not layers that live elsewhere (C-059)', () => {
  const manifest = read({
    mediaType: OCI_MANIFEST,
    config: child('a'),
    layers: [child('b'), child('c', {urls: ['https://x.example']}), child('b')],
  });
  assert.deepEqual(childrenOf(manifest), [digest('a'), digest('b')]);
});

for (const [what, body] of [
  ['both manifests and layers', {mediaType: OCI_MANIFEST, layers: [], manifests: []}], // A-071, CVE-2021-41190
  ['an image type with manifests', {mediaType: OCI_MANIFEST, manifests: []}],
  ['an index type with layers', {mediaType: OCI_INDEX, layers: []}],
  ['a digest that is none', {mediaType: OCI_MANIFEST, layers: [{digest: 'sha256:../../x', size: 1}]}],
  ['a negative size', {mediaType: OCI_MANIFEST, layers: [{digest: digest('a'), size: -1}]}],
  ['a size beyond what numbers hold', {mediaType: OCI_MANIFEST, layers: [{digest: digest('a'), size: 2 ** 60}]}],
  ['layers that are no list', {mediaType: OCI_MANIFEST, layers: {}}],
  [
    'more entries than an index may have',
    {mediaType: OCI_INDEX, manifests: Array.from({length: 10_001}, () => child('a'))},
  ],
  ['a list', []],
  ['a text', 'manifest'],
  ['nothing of a manifest', {a: 1}],
] as const)
  test(`readManifest() refuses ${what}`, () => {
    assert.throws(() => read(body), SyntaxError);
  });

test('readManifest() refuses JSON that is nested too deep, before it recurses (D-033)', () => {
  assert.throws(() => readManifest(Buffer.from('['.repeat(100_000)), undefined), /nested deeper/);
});

test('readManifest() refuses what is no JSON', () => {
  assert.throws(() => readManifest(Buffer.from('<html>Please log in</html>'), 'text/html'), SyntaxError);
});
