import assert from 'node:assert/strict';
import {spawnSync} from 'node:child_process';
import {mkdtemp, mkdir, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, test} from 'node:test';

// As people and CI run it: the program itself, its output and its exit code.

const POLICIES = `
apiVersion: noost.dev/v1alpha1
kind: ClusterImagePolicy
metadata: {name: production}
spec:
  namespaceSelector: {matchLabels: {env: prod}}
  default: Deny
  rules:
    - {name: ours, match: [{registry: registry.example.com}], action: Allow}
    - {name: hub, match: [{registry: docker.io, repository: "library/**"}], action: Allow, require: {digest: true}}
    - {name: say-which, match: [{tag: latest}], action: Deny, message: say which version you want}
---
apiVersion: noost.dev/v1alpha1
kind: ClusterImagePolicy
metadata: {name: soft}
spec: {mode: Warn, default: Allow, rules: [{name: old, match: [{tag: "0.*"}], action: Deny, message: old}]}
`;
const MANIFESTS = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {env: prod}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    spec:
      initContainers: [{name: i, image: "quay.io/x/y:1"}]
      containers: [{name: c, image: nginx}, {name: d, image: "nginx:1.29"}, {name: n, image: "nginx:1", imagePullPolicy: Never}]
---
apiVersion: v1
kind: List
items: [{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: "any:0.9"}]}}]
`;
let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noost-check-'));
  await mkdir(join(folder, 'policies', 'below'), {recursive: true});
  await writeFile(join(folder, 'policies', 'below', 'p.yaml'), POLICIES);
  await mkdir(join(folder, 'empty'));
  await writeFile(join(folder, 'deploy.yaml'), MANIFESTS);
});
after(() => rm(folder, {recursive: true}));

function noost(args: readonly string[], input = ''): {status: number | null; out: string; err: string} {
  const cli = join(import.meta.dirname, '..', '..', 'proc', 'cli.ts');
  const env = {PATH: process.env['PATH'], HOME: folder, NO_COLOR: '1'};
  const {status, stdout, stderr} = spawnSync(process.execPath, [cli, ...args], {cwd: folder, input, env});
  return {status, out: stdout.toString(), err: stderr.toString()};
}

interface Report {
  readonly refused: number;
  readonly warned: number;
  readonly objects: readonly {where: string; kind: string; images: readonly {path: string; allowed: boolean}[]}[];
}

test('manifests on disk are judged by policies on disk, every image, and one that is refused is exit code 1', () => {
  const {status, out} = noost(['check', '-f', 'policies', 'deploy.yaml', '--json']);
  assert.equal(status, 1);
  const report = JSON.parse(out) as Report;
  const at = 'spec.template.spec';
  assert.deepEqual(
    report.objects.flatMap(({where, kind, images}) =>
      images.map(({path, allowed}) => `${where} ${kind} ${path} ${String(allowed)}`),
    ),
    [
      `deploy.yaml#2 Deployment ${at}.initContainers[0].image false`,
      `deploy.yaml#2 Deployment ${at}.containers[0].image false`,
      `deploy.yaml#2 Deployment ${at}.containers[1].image true`, // the webhook writes its digest
      `deploy.yaml#2 Deployment ${at}.containers[2].image false`, // it does not, for this one is never pulled
      'deploy.yaml#3 Pod spec.containers[0].image true',
    ],
  );
  assert.deepEqual([report.refused, report.warned], [3, 1]);
});

test('as a table: who is refused, by which rule, and how many', () => {
  const {out} = noost(['check', '-f', 'policies', 'deploy.yaml']);
  assert.match(
    out,
    /^refused +deploy.yaml#2: Deployment shop\/web \S+containers\[0\].image +nginx +production, rule say-which: say which/m,
  );
  assert.match(out, /^warned .*any:0.9 +soft, rule old: old$/m);
  assert.match(out, /^5 images in 2 objects: 3 refused, 1 with a warning$/m);
});

test('standard input, a namespace and its labels by flags; all admitted is exit code 0', () => {
  const pod =
    '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"quay.io/x:1"}]}}';
  const args = ['check', '-f', 'policies', '-'];
  assert.equal(noost(args, pod).status, 0);
  assert.equal(noost([...args, '-n', 'shop', '--namespace-labels', 'env=prod'], pod).status, 1);
});

test('an image that a merge key brings is judged, as kubectl would send it', () => {
  const merged = `
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: shop, labels: &l {env: prod}}
spec: {containers: [{<<: &c {image: "quay.io/x:1"}, name: a}, {<<: *c, name: b}]}`;
  const args = ['check', '-f', 'policies', '-', '--json', '--namespace-labels', 'env=prod'];
  const {status, out} = noost(args, merged);
  assert.deepEqual([status, (JSON.parse(out) as Report).refused], [1, 2]);
});

for (const [what, args, input, says] of [
  ['a file that is not there', ['check', '-f', 'policies', 'no.yaml'], '', /^noost: no\.yaml: there is no such file/],
  ['YAML that is none', ['check', '-f', 'policies', '-'], 'a: [', /^noost: -: /],
  ['what is no object', ['check', '-f', 'policies', '-'], 'just text', /^noost: -: expected a Kubernetes object/],
  ['an object without a kind', ['check', '-f', 'policies', '-'], 'a: 1', /^noost: -: expected apiVersion and kind/],
  [
    'a container that is none',
    ['check', '-f', 'policies', '-'],
    '{"apiVersion":"v1","kind":"Pod","spec":{"containers":[1]}}',
    /^noost: -: Pod : spec\.containers\[0\]: expected an object/,
  ],
  ['no policy', ['check', '-f', 'deploy.yaml', 'deploy.yaml'], '', /^noost: deploy\.yaml: no image policy is there/],
  ['no manifests', ['check', '-f', 'policies'], '', /^noost: Name manifests, or - for standard input/],
  [
    'a policy with an error',
    ['check', '-f', '-', 'deploy.yaml'],
    'apiVersion: noost.dev/v1alpha1\nkind: ClusterImagePolicy\nmetadata: {name: bad}\nspec: {rules: [{name: a, match: [{tag: x}], action: Dny}]}',
    /^noost: Policies have errors\n {2}-: ClusterImagePolicy bad: spec\.rules\[0\]\.action: expected Allow or Deny/,
  ],
  [
    'a policy of a kind that is misspelt',
    ['check', '-f', 'policies', '-f', '-', 'deploy.yaml'],
    'apiVersion: noost.dev/v1alpha1\nkind: ClusterImagepolicy\nmetadata: {name: x}\nspec: {}',
    /^noost: Policies have errors\n {2}-: ClusterImagepolicy x: kind: expected ClusterImagePolicy, /,
  ],
  [
    'a folder without manifests',
    ['check', '-f', 'policies', 'empty'],
    '',
    /^noost: empty: no file below it ends in \.yaml, \.yml or \.json/,
  ],
  [
    'labels that are none',
    ['explain', 'nginx', '-f', 'policies', '-l', 'x'],
    '',
    /^noost: --labels: expected key=value/,
  ],
] as const)
  test(`${what} is exit code 2, with the name of what is wrong`, () => {
    const {status, err} = noost(args, input);
    assert.match(err, says);
    assert.equal(status, 2);
  });

test('noost explain says what an image is, what each policy says to it, and what to do', () => {
  const refused = noost(['explain', 'nginx', '-f', 'policies', '-n', 'shop', '--namespace-labels', 'env=prod']);
  assert.equal(refused.status, 1);
  assert.match(refused.out, /^read as +docker\.io\/library\/nginx:latest, pinned/m);
  assert.match(refused.out, /^ClusterImagePolicy production +Enforce +no +say-which +say which version you want$/m);
  assert.match(refused.out, /^to be admitted: use an image that the policy allows/m);
  assert.equal(noost(['explain', 'nginx:1', '-f', 'policies', '-n', 'kube-system']).status, 0);
  const unreadable = noost(['explain', 'UPPER/case', '-f', 'policies', '--namespace-labels', 'env=prod']);
  assert.match(unreadable.out, /^read as +cannot be read: /m);
  assert.equal(unreadable.status, 1);
});

test('an object of an unknown kind that holds containers is named as not judged', () => {
  const rollout = `
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: web}
spec: {template: {spec: {containers: [{name: c, image: "quay.io/x/y:1"}]}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: plain}
data: {containers: "image"}
`;
  const {status, out, err} = noost(['check', '-f', 'policies', '-'], rollout);
  assert.equal(status, 0);
  assert.match(out, /^0 images in 0 objects: 0 refused/m);
  assert.equal(err, 'Not judged: -#1: Rollout web holds containers; its pods are judged when they are made\n');
  const asJson = JSON.parse(noost(['check', '--json', '-f', 'policies', '-'], rollout).out) as {notJudged: object[]};
  assert.deepEqual(asJson.notJudged, [{where: '-#1', kind: 'Rollout', name: 'web'}]);
  const {err: hostile} = noost(['check', '-f', 'policies', '-'], rollout.replace('name: web', 'name: "\\e[2Jweb"'));
  assert.equal(
    hostile.split('\n', 1)[0],
    String.raw`Not judged: -#1: Rollout \u001b[2Jweb holds containers; its pods are judged when they are made`,
  );
});

test('a list in which kubectl found nothing is no error', () => {
  const {status, out} = noost(['check', '-f', 'policies', '-'], 'apiVersion: v1\nkind: List\nitems: []\n');
  assert.equal(status, 0);
  assert.match(out, /^0 images in 0 objects: 0 refused/m);
});

for (const {name, input, says} of [
  {name: 'nothing', input: '', says: /^noost: -: holds no Kubernetes object$/m},
  {name: 'only a comment', input: '# nothing\n---\n', says: /^noost: -: holds no Kubernetes object$/m},
  {
    name: 'a template',
    input: 'apiVersion: v1\nkind: {{ .Kind }}\n',
    says: /^noost: -: .* render it first: helm template /m,
  },
])
  test(`noost check of ${name} is an error, not a success`, () => {
    const {status, err} = noost(['check', '-f', 'policies', '-'], input);
    assert.equal(status, 2);
    assert.match(err, says);
  });
