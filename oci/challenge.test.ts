import assert from 'node:assert/strict';
import {test} from 'node:test';
import {parseChallenges, scopesOf} from './challenge.ts';

type Expected = readonly {scheme: string; params: Record<string, string>}[];
const realm = 'https://auth.example/token';

/** C-001 and what servers were seen to send. */
const TABLE: readonly [name: string, header: string | readonly string[] | undefined, expected: Expected][] = [
  ['absent', undefined, []],
  ['empty', '', []],
  [
    'usual',
    `Bearer realm="${realm}",service="reg",scope="repository:a/b:pull"`,
    [{scheme: 'bearer', params: {realm, service: 'reg', scope: 'repository:a/b:pull'}}],
  ],
  ['scheme in any case', `BEARER Realm="${realm}"`, [{scheme: 'bearer', params: {realm}}]],
  [
    'blanks and commas',
    `  Bearer   realm = "${realm}" , ,  service=reg  `,
    [{scheme: 'bearer', params: {realm, service: 'reg'}}],
  ],
  [
    'commas in quotes',
    `Bearer realm="${realm}",scope="repository:a:pull,push"`,
    [{scheme: 'bearer', params: {realm, scope: 'repository:a:pull,push'}}],
  ],
  ['escaped quotes', 'Basic realm="a \\"b\\" \\\\c"', [{scheme: 'basic', params: {realm: 'a "b" \\c'}}]],
  ['bare values', `Bearer realm=${realm},service=reg`, [{scheme: 'bearer', params: {realm, service: 'reg'}}]],
  ['realm with a query', `Bearer realm="${realm}?a=b&c=d"`, [{scheme: 'bearer', params: {realm: `${realm}?a=b&c=d`}}]],
  ['an error', 'Bearer error="insufficient_scope"', [{scheme: 'bearer', params: {error: 'insufficient_scope'}}]],
  [
    'two in one header',
    `Basic realm="x", Bearer realm="${realm}",service=s`,
    [
      {scheme: 'basic', params: {realm: 'x'}},
      {scheme: 'bearer', params: {realm, service: 's'}},
    ],
  ],
  [
    'two headers',
    ['Basic realm="x"', `Bearer realm="${realm}"`],
    [
      {scheme: 'basic', params: {realm: 'x'}},
      {scheme: 'bearer', params: {realm}},
    ],
  ],
  ['a lone scheme', 'Negotiate', [{scheme: 'negotiate', params: {}}]],
  [
    'a lone scheme before another',
    'Negotiate, Basic realm="x"',
    [
      {scheme: 'negotiate', params: {}},
      {scheme: 'basic', params: {realm: 'x'}},
    ],
  ],
  [
    'a token68',
    'Negotiate YWJj/+==, Basic realm="x"',
    [
      {scheme: 'negotiate', params: {}},
      {scheme: 'basic', params: {realm: 'x'}},
    ],
  ],
  ['the first of two equal names', 'Basic realm="x",realm="y"', [{scheme: 'basic', params: {realm: 'x'}}]],
  ['an open quote', 'Bearer realm="https://auth', [{scheme: 'bearer', params: {}}]],
  ['nothing but noise', '"="', []],
  ['a prototype key', 'Basic __proto__="x"', [{scheme: 'basic', params: {['__proto__']: 'x'}}]],
];

for (const [name, header, expected] of TABLE)
  test(`parseChallenges reads ${name}`, () => {
    const found = parseChallenges(header).map(({scheme, params}) => ({scheme, params: [...params]}));
    assert.deepEqual(
      found,
      expected.map(({scheme, params}) => ({scheme, params: Object.entries(params)})),
    );
  });

test('parseChallenges is quick with hostile headers', () => {
  for (const header of [
    'a,'.repeat(50_000),
    `Bearer ${'a="'.repeat(20_000)}`,
    '\\"'.repeat(40_000),
    `Bearer x="${'\\'.repeat(60_000)}`,
  ])
    assert.ok(parseChallenges(header).length <= 16);
});

test('scopesOf splits by blanks and drops repetition', () => {
  const [challenge] = parseChallenges('Bearer scope="repository:a:pull  repository:b(plugin):pull repository:a:pull"');
  assert.deepEqual(scopesOf(challenge!), ['repository:a:pull', 'repository:b(plugin):pull']);
});
