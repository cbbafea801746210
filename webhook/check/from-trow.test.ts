import assert from 'node:assert/strict';
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, test} from 'node:test';
import fc from 'fast-check';
import {parse, stringify} from 'yaml';
import {printImageReference, parseImageReference} from '../../oci/image-reference.ts';
import {ask} from '../policy/rig.ts';
import {validatePolicyObject} from '../policy/validate.ts';
import {fromTrow} from './from-trow.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noost-trow-'));
});
after(() => rm(folder, {recursive: true}));

interface Validation {
  readonly default: 'Allow' | 'Deny';
  readonly allow: readonly string[];
  readonly deny: readonly string[];
}

async function translated(image_validation: unknown): Promise<string> {
  const file = join(folder, 'trow.yaml');
  await writeFile(file, stringify({registry_proxies: {}, image_validation}));
  return await fromTrow(file);
}

/** Trow's own rule: the longest prefix decides, of equally long ones that which denies (reference/trow.md §4.1). */
function trowAllows({default: otherwise, allow, deny}: Validation, image: string): boolean {
  const name = printImageReference(parseImageReference(image));
  const longest = (prefixes: readonly string[]): number =>
    Math.max(-1, ...prefixes.filter((prefix) => name.startsWith(prefix)).map(({length}) => length));
  const [allowed, denied] = [longest(allow), longest(deny)];
  if (allowed === -1 && denied === -1) return otherwise === 'Allow';
  return allowed > denied;
}

const REPOSITORIES = ['library/ubuntu', 'library/ubuntu-evil', 'acme', 'acme/app', 'acme/app/x', 'a/b'];
const images = fc
  .tuple(
    fc.constantFrom('docker.io', 'quay.io', 'quay.io.evil.example', 'ghcr.io', '127.0.0.1:5000', 'quay.io:444'),
    fc.constantFrom(...REPOSITORIES),
    fc.constantFrom('v1', 'v12', 'latest'),
  )
  .map(([registry, repository, tag]) => `${registry}/${repository}:${tag}`);
const prefixes = fc
  .tuple(
    fc.constantFrom('docker.io', 'quay.io', 'ghcr.io', '127.0.0.1'),
    fc.constantFrom('', '/', '/library/', '/library/ubuntu', '/acme', '/acme/', '/acme/app', '/acme/app:v1', '/a/b:v1'),
  )
  .map((parts) => parts.join(''));
const list = fc.uniqueArray(prefixes, {maxLength: 4});

test('whatever is admitted by the policies was admitted by Trow; what Trow denied is refused at every port', async () => {
  const admitted = {ours: 0, both: 0};
  await fc.assert(
    fc.asyncProperty(fc.constantFrom('Allow', 'Deny'), list, list, images, async (otherwise, allow, deny, image) => {
      const validation = {default: otherwise as 'Allow' | 'Deny', allow, deny};
      const policy: unknown = parse(await translated(validation));
      assert.deepEqual(validatePolicyObject(policy), []);
      if (!ask([policy], [image]).allowed) return;
      admitted.ours++;
      // Texts that only begin like a denied host were denied by Trow; here they are other registries, so say-so decides.
      if (otherwise === 'Allow' && image.startsWith('quay.io.evil')) return;
      assert.ok(trowAllows(validation, image), `${JSON.stringify(validation)} ${image}`);
      admitted.both++;
    }),
    {numRuns: 2_000},
  );
  assert.ok(admitted.both > 100, `only ${admitted.both} of ${admitted.ours} say anything`);
});

test("what an administrator means by Trow's examples stays allowed", async () => {
  const allow = ['registry.example.com/', 'docker.io/library/', 'docker.io/acme', 'ghcr.io/acme/app', 'quay.io/a/b:v1'];
  const policy: unknown = parse(
    await translated({default: 'Deny', allow, deny: ['docker.io/library/ubuntu', 'docker.io/']}),
  );
  const verdicts = Object.fromEntries(
    [
      'registry.example.com/any/thing:1',
      'nginx',
      'ubuntu:24.04',
      'ubuntu-evil',
      'acme/tool:1',
      'acme-evil/tool:1',
      'ghcr.io/acme/app:2',
      'ghcr.io/acme/app/part:2',
      'ghcr.io/acme/app-evil:2',
      'quay.io/a/b:v1',
      'quay.io/a/b:v12',
    ].map((image) => [image, ask([policy], [image]).allowed]),
  );
  assert.deepEqual(verdicts, {
    'registry.example.com/any/thing:1': true,
    nginx: true,
    'ubuntu:24.04': false,
    'ubuntu-evil': false,
    'acme/tool:1': true,
    'acme-evil/tool:1': false,
    'ghcr.io/acme/app:2': true,
    'ghcr.io/acme/app/part:2': true,
    'ghcr.io/acme/app-evil:2': false,
    'quay.io/a/b:v1': true,
    'quay.io/a/b:v12': false,
  });
});

test('an Allow inside a Deny inside an Allow is said, for it cannot be kept', async () => {
  const text = await translated({default: 'Deny', allow: ['quay.io', 'quay.io/a/b'], deny: ['quay.io/a']});
  assert.match(
    text,
    /^# Trow allowed quay\.io\/a\/b although it denied quay\.io\/a\. Here a Deny rule beats every Allow/m,
  );
  assert.equal(ask([parse(text)], ['quay.io/a/b:1']).allowed, false);
});

test('as many prefixes as a long list has make as many rules as they need, and every one of them counts', async () => {
  const allow = Array.from({length: 150}, (_, i) => `ghcr.io/team-${i}/app`);
  const policy: unknown = parse(await translated({default: 'Deny', allow, deny: []}));
  assert.deepEqual(validatePolicyObject(policy), []);
  const images = allow.map((prefix) => `${prefix}:1`);
  assert.equal(ask([policy], images).allowed, true);
  assert.equal(ask([policy], ['ghcr.io/team-150/app:1']).allowed, false);
});

test('a registry of one word with a port is a registry', async () => {
  const policy: unknown = parse(await translated({default: 'Deny', allow: ['registry:5000/'], deny: []}));
  const verdicts = ['registry:5000/a/b:1', 'registry:5001/a/b:1', 'registry/a/b:1'].map(
    (one) => ask([policy], [one]).allowed,
  );
  assert.deepEqual(verdicts, [true, false, false]);
});

for (const [what, validation, says] of [
  [
    'a star, which Trow took for a character',
    {default: 'Deny', allow: ['quay.io/*']},
    /allow: quay\.io\/\*: \* was a character/,
  ],
  ['no image_validation', null, /there is no image_validation; Trow refused every pod then/],
  ['a list that is none', {default: 'Deny', allow: 'x'}, /image_validation\.allow: expected a list of prefixes/],
  ['half a registry', {default: 'Allow', deny: ['dock']}, /deny: dock: "dock" is not a whole registry/],
  ['a registry cut off at a dot', {default: 'Allow', deny: ['quay.']}, /ends in the middle of a registry's name/],
] as const)
  test(`${what} is an error that names it`, async () => {
    await assert.rejects(translated(validation), says);
  });
