import assert from 'node:assert/strict';
import {test} from 'node:test';
import fc from 'fast-check';
import {
  ambiguities,
  newNameMap,
  parseNodeEndpoint,
  parsePrefix,
  type NameMapOptions,
  type RewriteRule,
} from './name-map.ts';
import {parseImage} from './reference.ts';
import type {RepositoryName} from './source.ts';

const NONE: NameMapOptions = {mode: 'none', endpoint: 'localhost:5055', prefixes: []};
const NODE: NameMapOptions = {...NONE, mode: 'node'};
const RULES: readonly RewriteRule[] = [
  {from: 'docker.io', to: 'registry.corp.example/hub'},
  {from: 'ghcr.io/acme', to: 'registry.corp.example/acme'},
];
const PREFIXES: NameMapOptions = {
  ...NONE,
  mode: 'prefixes',
  prefixes: RULES,
};

function text({registry, repository}: RepositoryName): string {
  return `${registry}/${repository}`;
}

const MAPPED: readonly (readonly [options: NameMapOptions, written: string, pulled: string, canonical: string])[] = [
  [NONE, 'alpine', 'docker.io/library/alpine', 'docker.io/library/alpine'],
  [NODE, 'alpine', 'localhost:5055/docker.io/library/alpine', 'docker.io/library/alpine'],
  [NODE, 'ghcr.io/x/y', 'localhost:5055/ghcr.io/x/y', 'ghcr.io/x/y'],
  [NODE, 'localhost:5055/ghcr.io/x/y', 'localhost:5055/ghcr.io/x/y', 'ghcr.io/x/y'],
  // A port cannot stand in a path of the kubelet's grammar: such a name stays.
  [NODE, 'host.example:5000/x', 'host.example:5000/x', 'host.example:5000/x'],
  [PREFIXES, 'alpine', 'registry.corp.example/hub/library/alpine', 'docker.io/library/alpine'],
  [PREFIXES, 'ghcr.io/acme/app', 'registry.corp.example/acme/app', 'ghcr.io/acme/app'],
  [PREFIXES, 'ghcr.io/acmeevil/app', 'ghcr.io/acmeevil/app', 'ghcr.io/acmeevil/app'],
  [
    PREFIXES,
    'registry.corp.example/hub/library/alpine',
    'registry.corp.example/hub/library/alpine',
    'docker.io/library/alpine',
  ],
  [PREFIXES, 'registry.corp.example/hubris/x', 'registry.corp.example/hubris/x', 'registry.corp.example/hubris/x'],
];

for (const [options, written, pulled, canonical] of MAPPED)
  test(`in mode ${options.mode}, ${written} is pulled as ${pulled} and judged as ${canonical}`, () => {
    const map = newNameMap(options);
    const {name} = parseImage(written);
    assert.equal(text(map.pulled(name)), pulled);
    assert.equal(text(map.canonical(name)), canonical);
    assert.equal(text(map.canonical(map.pulled(name))), canonical);
  });

// Every way to write the agent's address leads to the upstream behind it, or a policy about it would not hold.
for (const host of [
  'localhost',
  '127.0.0.1',
  '127.1.2.3',
  '[::1]',
  '[::ffff:127.0.0.1]',
  '0.0.0.0',
  '[::]',
  'node.localhost',
])
  for (const mode of ['none', 'node'] as const)
    test(`in mode ${mode}, ${host}:5055/ghcr.io/evil/x is judged as ghcr.io/evil/x`, () => {
      const map = newNameMap({...NONE, mode});
      for (const path of ['ghcr.io/evil/x', 'f/ghcr.io/evil/x'])
        assert.equal(text(map.canonical({registry: `${host}:5055`, repository: path})), 'ghcr.io/evil/x');
      assert.equal(
        text(map.canonical({registry: `${host}:5055`, repository: 'docker.io/alpine'})),
        'docker.io/library/alpine',
      );
    });

for (const repository of ['alpine', 'library/alpine', 'f/x/y', 'f', 'ghcr.io', 'ghcr.io./x'])
  test(`localhost:5055/${repository} does not say which registry is meant`, () => {
    assert.throws(() => newNameMap(NONE).canonical({registry: 'localhost:5055', repository}), SyntaxError);
  });

test('another port at a loopback address is another registry', () => {
  for (const registry of ['localhost', 'localhost:5000', '127.0.0.1:15055', '10.0.0.1:5055', '[::1]:5056'])
    assert.deepEqual(newNameMap(NODE).canonical({registry, repository: 'ghcr.io/x'}), {
      registry,
      repository: 'ghcr.io/x',
    });
});

const REFUSED: readonly (readonly [what: string, rules: readonly RewriteRule[], at: number, key: string])[] = [
  [
    'the same source twice',
    [
      {from: 'a.example', to: 'x.example'},
      {from: 'a.example', to: 'y.example'},
    ],
    1,
    'from',
  ],
  [
    'a source inside another',
    [
      {from: 'a.example', to: 'x.example'},
      {from: 'a.example/b', to: 'y.example'},
    ],
    1,
    'from',
  ],
  [
    'the same target twice',
    [
      {from: 'a.example', to: 'x.example'},
      {from: 'b.example', to: 'x.example'},
    ],
    1,
    'to',
  ],
  [
    'a target inside another',
    [
      {from: 'a.example', to: 'x.example/h'},
      {from: 'b.example', to: 'x.example'},
    ],
    1,
    'to',
  ],
  ['a target inside its source', [{from: 'a.example', to: 'a.example/b'}], 0, 'to'],
  ['a source inside its target', [{from: 'a.example/b', to: 'a.example'}], 0, 'to'],
  [
    'a target inside a later source',
    [
      {from: 'a.example', to: 'b.example/h'},
      {from: 'b.example', to: 'x.example'},
    ],
    1,
    'from',
  ],
  [
    'a target inside an earlier source',
    [
      {from: 'b.example', to: 'x.example'},
      {from: 'a.example', to: 'b.example/h'},
    ],
    1,
    'to',
  ],
  ['Docker Hub as a target', [{from: 'a.example', to: 'docker.io'}], 0, 'to'],
];

for (const [what, rules, at, key] of REFUSED)
  test(`rules that could not be reversed are refused: ${what}`, () => {
    const [first] = ambiguities(rules);
    assert.deepEqual([first?.at, first?.key], [at, key]);
  });

test('prefixes that only look alike do not overlap', () => {
  assert.deepEqual(ambiguities([...RULES, {from: 'ghcr.io/acme-two', to: 'registry.corp.example/hub2'}]), []);
});

test('a prefix and an endpoint have one spelling, or are refused', () => {
  assert.equal(parsePrefix('Index.Docker.io/'), 'docker.io');
  assert.equal(parsePrefix('Registry.Example:443/Hub'.toLowerCase()), 'registry.example/hub');
  for (const wrong of ['', 'docker', 'https://a.example', 'a.example/UPPER', 'a.example//b', 'a.example/b:tag', '/x'])
    assert.throws(() => parsePrefix(wrong), SyntaxError, wrong);
  assert.equal(parseNodeEndpoint('LOCALHOST:5055'), 'localhost:5055');
  for (const wrong of ['localhost', 'registry.example:5055', '10.0.0.1:5055', 'localhost:0'])
    assert.throws(() => parseNodeEndpoint(wrong), SyntaxError, wrong);
});

const component = fc.constantFrom('a', 'b', 'hub', 'library', 'x-y', 'docker.io', 'f', 'ghcr.io', 'localhost');
const registry = fc.constantFrom(
  'docker.io',
  'ghcr.io',
  'a.example',
  'b.example:5000',
  'localhost:5055',
  '127.0.0.1:5055',
  '[::1]:5055',
  'localhost',
);
const names = fc
  .tuple(registry, fc.array(component, {minLength: 1, maxLength: 4}))
  .map(([host, parts]): RepositoryName => ({
    registry: host,
    repository: host === 'docker.io' && parts.length === 1 ? `library/${parts.join('/')}` : parts.join('/'),
  }));
const prefix = fc
  .tuple(
    fc.constantFrom('docker.io', 'ghcr.io', 'a.example', 'b.example:5000', 'c.example'),
    fc.array(component, {maxLength: 2}),
  )
  .map(([host, parts]) => [host, ...parts].join('/'));
const maps = fc
  .tuple(
    fc.constantFrom('none' as const, 'node' as const, 'prefixes' as const),
    fc.array(fc.record({from: prefix, to: prefix}), {maxLength: 4}),
  )
  .filter(([, prefixes]) => ambiguities(prefixes).length === 0)
  .map(([mode, prefixes]) => newNameMap({...NONE, mode, prefixes}));

test('for every name and map: what is pulled leads back to what is judged, and mapping twice is mapping once', () => {
  const property = fc.property(maps, names, (map, name) => {
    let canonical: RepositoryName;
    try {
      canonical = map.canonical(name);
    } catch (error) {
      assert.ok(error instanceof SyntaxError);
      return;
    }
    const pulled = map.pulled(name);
    assert.deepEqual(map.canonical(pulled), canonical);
    assert.deepEqual(map.pulled(pulled), pulled);
    assert.deepEqual(map.pulled(canonical), pulled);
  });
  fc.assert(property, {numRuns: 5000});
});
