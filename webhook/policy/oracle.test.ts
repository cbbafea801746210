import assert from 'node:assert/strict';
import {test} from 'node:test';
import fc from 'fast-check';
import {parseImageReference} from '../../oci/image-reference.ts';
import {opinionOf} from '../../test/policy-oracle.ts';
import {compilePolicies} from './compile.ts';
import {judge} from './judge.ts';
import {A, B, clusterPolicy, exception, namespacedPolicy, NOW, OWN_NAMESPACE} from './rig.ts';
import type {
  ExceptionObject,
  ImageInQuestion,
  ImageMatch,
  PolicyObject,
  PolicySpec,
  Resolution,
  Rule,
  Subject,
} from './shape.ts';

// An independent oracle (test/policy-oracle.ts) and the engine never differ, whatever policies, exceptions and pods there are.

const HOSTS = ['docker.io', 'ghcr.io', 'quay.io:5000', 'a.corp.example', 'b.a.corp.example:443', 'corp.example'];
const REGISTRIES = [
  ...HOSTS.slice(0, 3),
  '*',
  '*.corp.example',
  'ghcr.io:*',
  'quay.io',
  '*.corp.example:*',
  'corp.example',
];
const REPOSITORIES = ['library/nginx', 'nginx', 'team/app', 'team/app/x', 'team', 'a/b/c/d'];
const GLOBS = [
  '**',
  '*',
  'nginx',
  'team/*',
  'team/**',
  '**/app',
  '**/x',
  'a/**/d',
  'team/app',
  'te*/a*',
  '*/*',
  'library/**',
];
const TAGS = ['latest', 'v1', 'v1.2', '1'];
const TAG_PATTERNS = ['latest', 'v*', '*', '1', 'v1.*'] as const;

const some = <T>(values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, {nil: undefined});

const seldom = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.oneof({weight: 3, arbitrary: fc.constant(undefined)}, {weight: 1, arbitrary: value});

/** Leaves out what is undefined, as an object of the API does. */
function given<T extends object>(value: T): {[K in keyof T]: Exclude<T[K], undefined>} {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as never; // every key that is there
}

const match: fc.Arbitrary<ImageMatch> = fc
  .record({
    registry: maybe(some(REGISTRIES)),
    repository: maybe(some(GLOBS)),
    tag: maybe(fc.oneof(some(TAG_PATTERNS), fc.constant({regex: 'v[0-9]+|latest'}))),
    digest: maybe(some([A, B])),
  })
  .map(given)
  .filter((one) => Object.keys(one).length > 0 && !(one.registry === 'docker.io' && one.repository === '*'));
const rule = (i: number): fc.Arbitrary<Rule> =>
  fc
    .record({
      name: fc.constant(`r${i}`),
      match: fc.array(match, {minLength: 1, maxLength: 3}),
      action: some(['Allow', 'Deny'] as const),
      require: maybe(fc.record({digest: fc.boolean()})),
    })
    .map(({require, ...rest}) => (rest.action === 'Allow' && require !== undefined ? {...rest, require} : rest));
const selector = fc
  .record({
    matchLabels: maybe(fc.record({env: some(['prod', 'test'])})),
    matchExpressions: maybe(
      fc.array(
        fc.oneof(
          fc.record({
            key: some(['env', 'team']),
            operator: some(['In', 'NotIn'] as const),
            values: fc.array(some(['prod', 'a']), {minLength: 1}),
          }),
          fc.record({key: some(['env', 'team']), operator: some(['Exists', 'DoesNotExist'] as const)}),
        ),
        {maxLength: 2},
      ),
    ),
  })
  .map(given);
const spec = (isCluster: boolean): fc.Arbitrary<PolicySpec> =>
  fc
    .record({
      mode: maybe(some(['Enforce', 'Warn', 'Audit'] as const)),
      namespaceSelector: isCluster ? seldom(selector) : fc.constant(undefined),
      podSelector: seldom(selector),
      serviceAccounts: seldom(fc.array(some(['default', 'builder-*', '*']), {minLength: 1, maxLength: 2})),
      default: maybe(some(['Allow', 'Deny'] as const)),
      rules: maybe(fc.tuple(rule(0), rule(1), rule(2)).chain((rules) => fc.subarray(rules, {minLength: 1}))),
    })
    .map(given);
const exceptions = fc
  .record({
    policies: fc.array(some(['p0', 'p1', 'team-a/local']), {minLength: 1, maxLength: 2}),
    match: fc.array(match, {minLength: 1, maxLength: 2}),
    expires: some([
      '2026-11-25T19:59:59Z',
      '2026-11-25T20:00:00Z',
      '2026-11-25T21:00:01+01:00',
      '2027-01-01T00:00:00Z',
    ]),
  })
  .map((one) => exception(one));
const objects: fc.Arbitrary<(PolicyObject | ExceptionObject)[]> = fc
  .tuple(spec(true), spec(true), spec(false), fc.array(exceptions, {maxLength: 2}))
  .chain(([a, b, c, some_]) =>
    fc.shuffledSubarray(
      [
        clusterPolicy(a, 'p0'),
        clusterPolicy(b, 'p1'),
        namespacedPolicy(c),
        ...some_.map((one, i) => ({...one, metadata: {name: `e${i}`}})),
      ],
      {minLength: 1},
    ),
  );
const image = fc
  .tuple(some(HOSTS), some(REPOSITORIES), maybe(some(TAGS)), maybe(some([A, B])))
  .map(
    ([host, repository, tag, digest]) =>
      `${host}/${repository}${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`,
  );
const resolution: fc.Arbitrary<Resolution | undefined> = some([
  undefined,
  {found: false, why: 'down'},
  {found: true, digest: A, cached: false},
  {found: true, digest: B, cached: true},
]);
const subject: fc.Arbitrary<Subject> = fc.record({
  namespace: some(['team-a', 'team-a', 'team-a', 'default', 'kube-system', OWN_NAMESPACE]),
  namespaceLabels: some<Readonly<Record<string, string>>>([{}, {env: 'prod'}, {env: 'test', team: 'a'}]),
  podLabels: some<Readonly<Record<string, string>>>([{}, {env: 'prod'}, {team: 'a'}]),
  serviceAccount: some(['default', 'builder-1', 'ci']),
});

function questionOf(written: string, answer: Resolution | undefined, at: number): ImageInQuestion {
  const identity = written === '' ? {unreadable: 'is empty'} : parseImageReference(written);
  const place = `spec.containers[${at}].image`;
  return {
    path: place,
    pointer: '',
    field: 'container',
    name: 'c',
    written,
    pullPolicy: undefined,
    identity,
    resolution: answer,
  };
}

const cases = fc.record({
  objects,
  subject,
  images: fc.array(
    fc.tuple(fc.oneof({weight: 20, arbitrary: image}, {weight: 1, arbitrary: fc.constant('')}), resolution),
    {minLength: 1, maxLength: 4},
  ),
});

test('the engine and the oracle never differ', () => {
  const seen = {accepted: 0, refused: 0};
  fc.assert(
    fc.property(cases, ({objects: all, subject: who, images}) => {
      const {set, problems} = compilePolicies(all, {ownNamespace: OWN_NAMESPACE});
      assert.deepEqual(problems, []);
      const asked = images.map(([written, answer], i) => questionOf(written, answer, i));
      const verdict = judge(set, {subject: who, images: asked}, NOW);
      for (const [i, one] of asked.entries()) {
        const expected = opinionOf(all, {subject: who, image: one, nowMs: NOW, ownNamespace: OWN_NAMESPACE});
        const outcomes = verdict.images[i]?.outcomes ?? [];
        const found = Object.fromEntries(
          outcomes.map(({policy, accepts}) => [`${policy.kind} ${policy.name}`, accepts]),
        );
        assert.deepEqual(found, expected, one.written);
        for (const accepts of Object.values(expected)) seen[accepts ? 'accepted' : 'refused']++;
      }
    }),
    {numRuns: 3_000},
  );
  assert.ok(seen.accepted > 500 && seen.refused > 500, JSON.stringify(seen)); // both happen often, or nothing was compared
});

test('a verdict does not depend on the order of policies, rules and matches, nor on what was asked before', () => {
  fc.assert(
    fc.property(cases, cases, ({objects: all, subject: who, images}, other) => {
      const options = {ownNamespace: OWN_NAMESPACE};
      const turned = all.toReversed().map((object) =>
        object.kind === 'ImagePolicyException' || object.spec.rules === undefined
          ? object
          : {
              ...object,
              spec: {
                ...object.spec,
                rules: object.spec.rules.toReversed().map((one) => ({...one, match: one.match.toReversed()})),
              },
            },
      );
      const [fresh, used] = [compilePolicies(all, options).set, compilePolicies(turned, options).set];
      const ask = (from: {images: typeof images}): ImageInQuestion[] =>
        from.images.map(([written, answer], i) => questionOf(written, answer, i));
      judge(used, {subject: other.subject, images: ask(other)}, NOW);
      judge(used, {subject: who, images: ask(other)}, NOW - 3600_000);
      const question = {subject: who, images: ask({images})};
      assert.deepEqual(judge(used, question, NOW), judge(fresh, question, NOW));
    }),
    {numRuns: 1_000},
  );
});
