import assert from 'node:assert/strict';
import {test} from 'node:test';
import {digestOf} from '../../oci/digest.ts';
import {MAX_MANIFEST_BYTES, natureOf} from './children.ts';

const [A, B] = [digestOf(Buffer.from('a')), digestOf(Buffer.from('b'))];
const INDEX = 'application/vnd.oci.image.index.v1+json';
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const BLOB = {kind: 'blob', mediaType: undefined, children: []};

const ROWS: readonly (readonly [string, unknown, unknown])[] = [
  [
    'a manifest that says its type',
    {mediaType: 'a/b+json', config: {digest: A}, layers: [{digest: B}]},
    {kind: 'manifest', mediaType: 'a/b+json', children: [A, B]},
  ],
  [
    'a manifest without type',
    {config: {digest: A}, layers: []},
    {kind: 'manifest', mediaType: MANIFEST, children: [A]},
  ],
  [
    'an index without type',
    {manifests: [{digest: A}, {digest: B}]},
    {kind: 'manifest', mediaType: INDEX, children: [A, B]},
  ],
  [
    'an index with hostile parts',
    {mediaType: 'a\nb', manifests: [null, 1, {digest: '../x'}, {digest: A}]},
    {kind: 'manifest', mediaType: INDEX, children: [A]},
  ],
  ['a config', {architecture: 'amd64', config: {}, rootfs: {}}, BLOB],
  ['layers without config', {layers: [{digest: A}]}, BLOB],
  ['a list', [], BLOB],
];
for (const [name, json, nature] of ROWS)
  test(`natureOf tells ${name}`, () => {
    assert.deepEqual(natureOf(Buffer.from(JSON.stringify(json))), nature);
  });

test('natureOf takes everything else for a blob', () => {
  for (const text of ['', '{', '{"manifests":', 'x', 'null']) assert.deepEqual(natureOf(Buffer.from(text)), BLOB);
  assert.deepEqual(natureOf(Buffer.alloc(MAX_MANIFEST_BYTES + 1, '{')), BLOB);
});
