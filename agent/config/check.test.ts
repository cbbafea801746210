import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';
import {loadAgentConfig} from './load.ts';
import {ConfigRig} from './rig.ts';

let rig: ConfigRig;
before(async () => {
  rig = await ConfigRig.create();
});
after(() => rig[Symbol.asyncDispose]());

/** Within an upstream's `credentials`, beside a listener that says anyLocalProcess. */
const REFUSED_CREDENTIALS: readonly (readonly [credentials: string, path: string, expected: RegExp])[] = [
  ['{}', '', /expected exactly one of passwordFile .*none is there/],
  ['{username: u}', '', /expected exactly one/],
  ['{passwordFile: FOLDER/password}', '', /expected username with passwordFile/],
  ['{username: u, dockerConfigFile: FOLDER/config.json}', '', /expected username only with passwordFile/],
  [
    '{username: u, passwordFile: FOLDER/password, credentialHelper: ecr-login}',
    '',
    /got passwordFile and credentialHelper/,
  ],
  ['{username: u, password: hunter2}', '.password', /^unknown key/],
  ['{username: u, passwordFile: FOLDER/none}', '.passwordFile', /ENOENT/],
  ['{username: u, passwordFile: FOLDER/blank}', '.passwordFile', /expected a password in the file/],
  ['{dockerConfigFile: FOLDER/password}', '.dockerConfigFile', /expected a docker config.json/],
  ['{credentialHelper: ../x}', '.credentialHelper', /expected the name after docker-credential-/],
  ['{credentialHelper: FOLDER/password}', '.credentialHelper', /expected a program.*EACCES/],
  ['{credentialHelper: ecr-login, realms: ["https://x"]}', '.realms[0]', /expected a host name/],
];

for (const [credentials, path, expected] of REFUSED_CREDENTIALS) {
  test(`credentials are refused: ${credentials}`, async () => {
    const issues = await rig.issuesOf(`upstreams: [{host: a.example, credentials: ${credentials}}]`, {
      'any-local-process': true,
    });
    const found = issues.find((issue) => issue.path === `upstreams[0].credentials${path}`);
    assert.match(found?.message ?? '', expected);
    for (const {message} of issues) assert.doesNotMatch(message, /hunter2|swordfish/);
  });
}

test('the values of credentials and of URLs are never repeated', async () => {
  const yaml =
    'upstreams: [{host: a.example, url: "https://u:hunter2@a.example", credentials: {credentialHelper: "hunter2 x"}}]';
  const text = JSON.stringify(await rig.issuesOf(yaml, {'any-local-process': true}));
  assert.ok(text.includes('upstreams[0].url') && text.includes('credentialHelper'));
  assert.doesNotMatch(text, /hunter2/);
});

test('everything wrong is listed at once, with where each was said', async () => {
  const yaml = 'cache:\n  maxSiz: 1\nupstreams:\n  - host: a.example\n    freshFor: soon\n  - host: A.example\n';
  const flags = {'cache-max-idle': 'never', 'log-level': 'loud', listen: '10.0.0.1:5055'};
  const issues = await rig.issuesOf(yaml, flags, {NOOST_CACHE_SIZ: '1', NOOST_DRAIN: 'x', NOOST_UPSTREAMS: ''});
  const file = rig.path('noost.yaml');
  const said = issues.map(({path, origin}) => `${path} ${origin}`).toSorted();
  assert.deepEqual(said, [
    ' NOOST_CACHE_SIZ',
    'cache.maxIdle --cache-max-idle',
    `cache.maxSiz ${file}:2`,
    'drain NOOST_DRAIN',
    'listeners[0].address --listen',
    'log.level --log-level',
    `upstreams[0].freshFor ${file}:5`,
    `upstreams[1].host ${file}:6`,
  ]);
});

const NOT_YAML: readonly (readonly [what: string, yaml: string, expected: RegExp])[] = [
  ['duplicate keys', 'data: a\ndata: b', /^not valid YAML: Map keys must be unique/],
  ['two documents', 'data: a\n---\ndata: b', /^not valid YAML/],
  ['broken syntax', 'data: [', /^not valid YAML/],
  ['unknown tags', 'data: !!js/function x', /^not valid YAML/],
  [
    'a billion laughs',
    `a: &a [x]\nb: &b [${'*a,'.repeat(50)}]\nc: &c [${'*b,'.repeat(50)}]\nd: [${'*c,'.repeat(50)}]`,
    /^not valid YAML: .*alias/,
  ],
  ['more than 1 MiB', `# ${'x'.repeat(1024 * 1024)}`, /larger than 1 MiB/],
];

for (const [what, yaml, expected] of NOT_YAML) {
  test(`a file with ${what} is refused`, async () => {
    const [issue] = await rig.issuesOf(yaml);
    assert.match(issue?.message ?? '', expected);
  });
}

test('a file that is not there is refused', async () => {
  await assert.rejects(
    loadAgentConfig({config: rig.path('none.yaml')}, {}),
    /none\.yaml: the configuration file cannot be read \(ENOENT\)/,
  );
});

test('a list in a flag that is no YAML is refused', async () => {
  const issues = await rig.issuesOf('', {upstreams: '[{host'});
  assert.match(issues[0]?.message ?? '', /expected YAML or JSON such as/);
  assert.equal(issues[0]?.origin, '--upstreams');
});

test('a data folder whose socket would have too long a path is refused', async () => {
  const [issue] = await rig.issuesOf('', {data: `/${'x'.repeat(120)}`});
  assert.match(issue?.message ?? '', /expected a path of 96 bytes at most.*it has 121/);
});
