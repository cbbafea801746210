import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';
import {WebhookConfigRig} from './rig.ts';

let rig: WebhookConfigRig;
before(async () => {
  rig = await WebhookConfigRig.create();
});
after(() => rig[Symbol.asyncDispose]());

const REFUSED: readonly (readonly [yaml: string, path: string, expected: RegExp])[] = [
  ['lisen: 1', 'lisen', /^unknown key; did you mean listen\?/],
  ['listen: 10250', 'listen', /expected an address such as/],
  ['adminListen: 0.0.0.0:10250', 'adminListen', /expected an address of its own; 0.0.0.0:10250 is also listen/],
  ['url: http://127.0.0.1:10250', 'url', /expected an https:\/\/ URL without user or query/],
  ['url: https://u:hunter2@a.example', 'url', /^expected an https:\/\/ URL without user or query[^;]*$/],
  ['namespace: Noost', 'namespace', /expected the name of a namespace; got "Noost"/],
  ['failurePolicy: fail', 'failurePolicy', /expected Fail or Ignore; got "fail"/],
  ['pin: {enabled: always}', 'pin.enabled', /expected true or false/],
  ['pin: {namespaces: [Team]}', 'pin.namespaces[0]', /expected the name of a namespace such as team-a or team-\*/],
  ['pin: {owners: [Rollout]}', 'pin.owners[0]', /expected a kind with its group such as Rollout.argoproj.io/],
  ['pin: {pullSecrets: team-a}', 'pin.pullSecrets', /expected a list of namespaces/],
  ['rewrite: {mode: mirror}', 'rewrite.mode', /expected none, node or prefixes/],
  ['rewrite: {mode: node, endpoint: "10.0.0.1:5055"}', 'rewrite.endpoint', /expected a loopback address with a port/],
  ['rewrite: {mode: prefixes}', 'rewrite.mode', /expected rewrite.prefixes with it/],
  [
    'rewrite: {prefixes: [{from: a.example, to: b.example}]}',
    'rewrite.prefixes',
    /expected rewrite.mode: prefixes with it/,
  ],
  [
    'rewrite: {mode: prefixes, prefixes: [{from: a.example}]}',
    'rewrite.prefixes[0].to',
    /expected a registry.*it is missing/,
  ],
  [
    'rewrite: {mode: prefixes, prefixes: [{from: docker, to: b.example}]}',
    'rewrite.prefixes[0].from',
    /expected a registry/,
  ],
  [
    'rewrite: {mode: prefixes, prefixes: [{from: a.example, to: c.example}, {from: a.example/b, to: d.example}]}',
    'rewrite.prefixes[1].from',
    /expected prefixes that do not overlap.*rewrite\.prefixes\[0\]\.from/,
  ],
  [
    'rewrite: {mode: prefixes, prefixes: [{from: a.example, to: docker.io}]}',
    'rewrite.prefixes[0].to',
    /expected a namespace of Docker Hub/,
  ],
  ['certificates: {certFile: FOLDER/a.crt}', 'certificates.certFile', /expected keyFile and caFile with it/],
  [
    'certificates: {certFile: FOLDER/a.crt, keyFile: FOLDER/b.key, caFile: FOLDER/a.crt}',
    'certificates.certFile',
    /expected a PEM certificate whose key is in keyFile/,
  ],
  [
    'certificates: {certFile: FOLDER/a.crt, keyFile: FOLDER/a.key, caFile: FOLDER/a.key}',
    'certificates.caFile',
    /expected PEM certificates/,
  ],
  ['certificates: {lifetime: 10s}', 'certificates.lifetime', /expected 1m to 366d/],
  ['kubeconfig: FOLDER/none', 'kubeconfig', /expected a file that can be read.*ENOENT/],
  ['upstreams: [{host: a.example}, {host: A.example}]', 'upstreams[1].host', /expected each host once/],
  ['upstreams: [{host: a.example, credentials: {username: u}}]', 'upstreams[0].credentials', /expected exactly one of/],
];

for (const [yaml, path, expected] of REFUSED)
  test(`a file is refused: ${yaml}`, async () => {
    const issues = await rig.issuesOf(yaml);
    assert.deepEqual(
      issues.map((issue) => issue.path),
      [path],
    );
    assert.match(issues[0]?.message ?? '', expected);
    assert.doesNotMatch(JSON.stringify(issues), /hunter2/);
  });
