import assert from 'node:assert/strict';
import {test} from 'node:test';
import {formatImage, isRepository, isTag, parseImage, parseRegistry} from './reference.ts';

for (const [text, registry] of [
  ['ghcr.io', 'ghcr.io'],
  ['GHCR.io', 'ghcr.io'],
  ['reg.example:5000', 'reg.example:5000'],
  ['reg.example:443', 'reg.example'],
  ['index.docker.io', 'docker.io'],
  ['registry-1.docker.io:443', 'docker.io'],
  ['localhost:5000', 'localhost:5000'],
  ['127.0.0.1:5000', '127.0.0.1:5000'],
  ['[::1]:5000', '[::1]:5000'],
] as const)
  test(`parseRegistry() spells ${text} as ${registry}`, () => {
    assert.equal(parseRegistry(text), registry);
  });

// B-023, D-012: what a resolver might take for an address in another notation is no name.
for (const text of [
  '',
  ':5000',
  'host:',
  'host:0',
  'host:65536',
  'host:5000x',
  'user@host',
  'docker.io@169.254.169.254',
  'host/path',
  'host#x',
  'host?x',
  'ho st',
  'host%2f',
  '2130706433',
  '2852039166',
  '0xa9fea9fe',
  '0251.0376.0251.0376',
  '127.1',
  '1.2.3.4.5',
  '256.1.1.1',
  'a.b.0x7f',
  'localhost.',
  '-a.example',
  'a..b',
  '１２７.0.0.1',
  'exämple.org',
  '[::1',
  '[::1%eth0]',
  '[nonsense]',
  'a'.repeat(64) + '.example',
])
  test(`parseRegistry() refuses ${JSON.stringify(text.slice(0, 40))}`, () => {
    assert.throws(() => parseRegistry(text), SyntaxError);
  });

for (const [name, ok] of [
  ['a--b', true],
  ['a__b', true],
  ['a.b', true],
  ['a/b/c', true],
  ['foo/manifests/bar', true],
  ['a___b', false],
  ['A/b', false],
  ['a..b', false],
  ['-a', false],
  ['a-', false],
  ['a//b', false],
  ['', false],
  ['a/', false],
] as const)
  test(`isRepository() ${ok ? 'takes' : 'refuses'} ${JSON.stringify(name)} (A-010)`, () => {
    assert.equal(isRepository(name), ok);
  });

test('isTag() takes 128 characters and not 129 (A-012)', () => {
  assert.equal(isTag('a'.repeat(128)), true);
  assert.equal(isTag('a'.repeat(129)), false);
  assert.equal(isTag('.hidden'), false);
});

const digest = `sha256:${'a'.repeat(64)}`;
for (const [text, full] of [
  ['alpine', 'docker.io/library/alpine:latest'],
  ['alpine:3', 'docker.io/library/alpine:3'],
  ['grafana/grafana', 'docker.io/grafana/grafana:latest'],
  ['docker.io/alpine', 'docker.io/library/alpine:latest'],
  ['ghcr.io/x/y:tag', 'ghcr.io/x/y:tag'],
  ['host:5000/x', 'host:5000/x:latest'],
  ['localhost/x', 'localhost/x:latest'],
  [`host:5000/x@${digest}`, `host:5000/x@${digest}`],
  [`host:5000/x:1@${digest}`, `host:5000/x:1@${digest}`],
] as const)
  test(`parseImage() reads ${text.slice(0, 30)} as ${full.slice(0, 40)}`, () => {
    assert.equal(formatImage(parseImage(text)), full);
    assert.deepEqual(parseImage(full), parseImage(text)); // it reads back what it writes
  });

for (const text of ['', ':tag', 'UPPER', 'a@b', `a@${digest}@${digest}`, 'host:5000/', 'a:b:c', '../x', 'a b'])
  test(`parseImage() refuses ${JSON.stringify(text.slice(0, 30))}`, () => {
    assert.throws(() => parseImage(text), SyntaxError);
  });
