import assert from 'node:assert/strict';
import {test} from 'node:test';
import {OciError} from '../../oci/error.ts';
import {DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST} from '../../oci/media-type.ts';
import {keysOfObjects} from './json-keys.ts';
import {readManifestBody} from './manifest-body.ts';

const HEX = 'a'.repeat(64);
const blob = (mediaType = 'application/vnd.oci.image.layer.v1.tar', more: object = {}): object => ({
  mediaType,
  digest: `sha256:${HEX}`,
  size: 3,
  ...more,
});
const image = (more: object = {}): object => ({
  schemaVersion: 2,
  mediaType: OCI_MANIFEST,
  config: blob('application/x-config'),
  layers: [blob()],
  ...more,
});
const read = (body: object | string, contentType: string | undefined = OCI_MANIFEST) =>
  readManifestBody(Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)), contentType);

for (const [name, body, contentType, expected] of [
  ['an image', image(), OCI_MANIFEST, {blobs: 2, artifactType: 'application/x-config'}],
  ['an image, with parameters (A-030)', image(), `${OCI_MANIFEST}; charset=utf-8`, {blobs: 2}],
  ['an image of docker', image({mediaType: DOCKER_MANIFEST}), DOCKER_MANIFEST, {blobs: 2}],
  ['an image that does not say so itself', image({mediaType: undefined}), OCI_MANIFEST, {blobs: 2}],
  ['an image without a header', image(), undefined, {blobs: 2}],
  ['no layers (A-074)', image({layers: []}), OCI_MANIFEST, {blobs: 1}],
  ['layers of null', image({layers: null}), OCI_MANIFEST, {blobs: 1}],
  ['an artifact', image({artifactType: 'application/a'}), OCI_MANIFEST, {blobs: 2, artifactType: 'application/a'}],
  ['an empty index', {schemaVersion: 2, mediaType: OCI_INDEX, manifests: []}, OCI_INDEX, {blobs: 0}],
  [
    'an unknown type',
    {mediaType: 'application/vnd.new+json', config: 7, layers: 'x'},
    'application/vnd.new+json',
    {blobs: 0},
  ],
  [
    'own fields',
    image({'com.example': {deep: [1]}, annotations: {config: 'x', Config: 'y', digest: 'a', Digest: 'b'}}),
    OCI_MANIFEST,
    {blobs: 2},
  ],
] as const)
  test(`readManifestBody takes ${name}`, () => {
    const {blobs, artifactType} = read(body, contentType);
    assert.equal(blobs.length, expected.blobs);
    if ('artifactType' in expected) assert.equal(artifactType, expected.artifactType);
  });

test('readManifestBody tells what need not be here: layers that must not be distributed (A-072)', () => {
  const foreign = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
  const layers = [blob(), blob(foreign), blob('application/x', {urls: ['https://elsewhere.test/x']})];
  assert.deepEqual(
    read(image({layers})).blobs.map(({isForeign}) => isForeign),
    [false, false, true, true],
  );
});

for (const [name, body, contentType] of [
  ['no JSON', '{', OCI_MANIFEST],
  ['a list', '[]', OCI_MANIFEST],
  ['null', 'null', OCI_MANIFEST],
  ['bytes that are no UTF-8', Buffer.from([0x7b, 0xff, 0x7d]).toString('latin1'), OCI_MANIFEST],
  ['another Content-Type than mediaType (A-070, D-028)', image(), OCI_INDEX],
  ['an index with layers (A-071)', {mediaType: OCI_INDEX, manifests: [], layers: []}, OCI_INDEX],
  ['an image with manifests (A-071)', image({manifests: []}), OCI_MANIFEST],
  ['both, of no type (A-071)', {manifests: [], layers: [], config: blob()}, undefined],
  ['an index without manifests', {mediaType: OCI_INDEX}, OCI_INDEX],
  ['an image without a config', image({config: undefined}), OCI_MANIFEST],
  ['schema 1 (A-078)', {schemaVersion: 1, fsLayers: []}, 'application/vnd.docker.distribution.manifest.v1+json'],
  ['schema 1 under another type', {schemaVersion: 1, fsLayers: [], config: blob()}, OCI_MANIFEST],
  ['a digest that is none', image({layers: [blob(undefined, {digest: 'sha256:../../etc'})]}), OCI_MANIFEST],
  ['an unknown algorithm', image({layers: [blob(undefined, {digest: `md5:${'a'.repeat(32)}`})]}), OCI_MANIFEST],
  ['a negative size (D-033)', image({layers: [blob(undefined, {size: -1})]}), OCI_MANIFEST],
  ['a size that is no integer (D-033)', image({layers: [blob(undefined, {size: 1e300})]}), OCI_MANIFEST],
  ['layers that are no list', image({layers: {}}), OCI_MANIFEST],
  ['a layer that is no descriptor', image({layers: ['x']}), OCI_MANIFEST],
  ['a subject that is none', image({subject: 'x'}), OCI_MANIFEST],
  ['layers twice (D-033)', `{"layers":[],${JSON.stringify(image()).slice(1)}`, OCI_MANIFEST],
  ['layers in another spelling', image({Layers: []}), OCI_MANIFEST],
  ['an escaped key twice', `{"l\\u0061yers":[],${JSON.stringify(image()).slice(1)}`, OCI_MANIFEST],
  ['layers with a long s, which Go takes for one', image({'layer\u017f': []}), OCI_MANIFEST],
  ['a config in capitals, escaped', image({'CON\u0046IG': 1}), OCI_MANIFEST],
  ['a digest twice', JSON.stringify(image()).replace('"digest"', '"digest":"x","digest"'), OCI_MANIFEST],
  ['a size twice', JSON.stringify(image()).replace(/"size"(?!.*"size")/, '"size":1,"size"'), OCI_MANIFEST],
  ['a digest in another spelling', image({layers: [blob(undefined, {Digest: 'x'})]}), OCI_MANIFEST],
  ['an annotation twice', JSON.stringify(image({annotations: {a: 'b'}})).replace('"a"', '"a":"","a"'), OCI_MANIFEST],
  ['another schemaVersion', image({schemaVersion: 1}), OCI_MANIFEST],
  ['a schemaVersion that is no number', image({schemaVersion: '2'}), OCI_MANIFEST],
  ['a byte order mark', `\ufeff${JSON.stringify(image())}`, OCI_MANIFEST],
  ['two documents', JSON.stringify(image()).repeat(2), OCI_MANIFEST],
  ['a depth that takes long to parse', '['.repeat(1_000_000), OCI_MANIFEST],
  ['nested too deep (D-033)', image({x: JSON.parse(`${'['.repeat(80)}${']'.repeat(80)}`) as unknown}), OCI_MANIFEST],
] as const)
  test(`readManifestBody refuses ${name}`, () => {
    assert.throws(
      () =>
        name.includes('UTF-8')
          ? readManifestBody(Buffer.from(body as string, 'latin1'), contentType)
          : read(body, contentType),
      (error) => error instanceof OciError && error.code === 'MANIFEST_INVALID' && error.message.length > 10,
    );
  });

test('readManifestBody refuses an index of more entries than anybody has', () => {
  assert.throws(() => read({mediaType: OCI_INDEX, manifests: Array.from({length: 10_001}, () => blob())}, OCI_INDEX));
});

test('keysOfObjects tells the keys of every object, and what it stands under', () => {
  const text = '{"a":{"b":1,"c":[{"d":2},{},[{"x":0}]]},"e\\"":"f,\\"g\\":","a":[1,"x"]}';
  assert.deepEqual(keysOfObjects(text), [
    {depth: 1, under: '', keys: ['a', 'e"', 'a']},
    {depth: 2, under: 'a', keys: ['b', 'c']},
    {depth: 4, under: 'c', keys: ['d']},
    {depth: 4, under: 'c', keys: []},
    {depth: 5, under: 'c', keys: ['x']},
  ]);
});
