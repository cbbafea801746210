import assert from 'node:assert/strict';
import {test} from 'node:test';
import fc from 'fast-check';
import {parseImageReference} from '../../oci/image-reference.ts';
import {kubeletReader, type KubeletReading} from '../peers/distribution-reference.ts';

const A = 'a'.repeat(64);
const HUB = new Set(['docker.io', 'registry-1.docker.io', 'registry.hub.docker.com']);
const TEXTS = 20_000;

/** Pieces that the grammars could part over, in any order, with single characters changed. */
const pieces = fc.constantFrom(
  'docker.io',
  'index.docker.io',
  'registry-1.docker.io',
  'ghcr.io',
  'GHCR.IO',
  'localhost',
  'LocalHost',
  '127.0.0.1',
  '127.1',
  '[::1]',
  '[0:0::1]',
  '[::]',
  'a',
  'A',
  'library',
  'my_reg',
  'a-b',
  'a__b',
  'a--b',
  'xn--a',
  '/',
  '/',
  '/',
  ':',
  '@',
  '.',
  '-',
  '_',
  ' ',
  '\n',
  'é',
  '%',
  '?',
  '*',
  'latest',
  '5000',
  '443',
  '0',
  '65536',
  `sha256:${A}`,
  `@sha256:${A}`,
  `:v1@sha256:${A}`,
  `@sha512:${A}${A}`,
  `@sha384:${A}${'b'.repeat(32)}`,
  `@sha256:${'A'.repeat(64)}`,
  A,
);
const shuffled = fc.array(pieces, {minLength: 1, maxLength: 8}).map((parts) => parts.join(''));
const orderly = fc
  .tuple(
    fc.constantFrom(
      '',
      'docker.io/',
      'ghcr.io/',
      'reg.example:5000/',
      'GHCR.io:443/',
      'localhost/',
      'Reg:5000/',
      '[::1]:5000/',
      'index.docker.io/',
      'a.b:00443/',
    ),
    fc.array(fc.constantFrom('a', 'bc', 'd-e', 'f_g', 'h.i', 'library', 'J', 'k-', 'x'.repeat(100)), {
      minLength: 1,
      maxLength: 4,
    }),
    fc.constantFrom('', ':latest', ':v1', `:${'t'.repeat(128)}`, `:${'t'.repeat(129)}`, ':', ':.'),
    fc.constantFrom('', '', `@sha256:${A}`, `@sha512:${A}${A}`, '@sha256:ab', `@sha384:${A}${'b'.repeat(32)}`),
  )
  .map(([registry, path, tag, digest]) => `${registry}${path.join('/')}${tag}${digest}`);

test('policy-peers 8, 10-14, 19: what we read, the kubelet reads as the same image; what it refuses, we refuse', async (t) => {
  const read = await kubeletReader(t);
  if (read === undefined) return;
  const texts = fc.sample(fc.oneof(shuffled, orderly), {
    numRuns: TEXTS,
    seed: Number(process.env['NOOST_TEST_SEED'] ?? Date.now() % 1e9),
  });
  const readings = await read(texts);
  assert.equal(readings.length, texts.length);
  let same = 0;
  for (const [i, text] of texts.entries()) {
    const reading = readings[i];
    assert.ok(reading);
    if (isSame(text, reading)) same++;
  }
  assert.ok(same > TEXTS / 20, `only ${same} of ${TEXTS} were read by both`);
});

function isSame(text: string, reading: KubeletReading): boolean {
  let image;
  try {
    image = parseImageReference(text);
  } catch (error) {
    assert.ok(error instanceof SyntaxError);
    return false; // we may refuse more
  }
  assert.ok(reading.ok, `${JSON.stringify(text)} is refused by the kubelet: ${JSON.stringify(reading)}`);
  const {domain, path, tag, digest} = reading;
  const theirs = {repository: path, tag: tag || (digest ? undefined : 'latest'), digest: digest || undefined};
  assert.deepEqual({repository: image.repository, tag: image.tag, digest: image.digest}, theirs, text);
  if (HUB.has(domain)) assert.equal(image.registry, 'docker.io', text);
  else assert.equal(new URL(`https://${image.registry}`).host, new URL(`https://${domain}`).host, text);
  return true;
}
