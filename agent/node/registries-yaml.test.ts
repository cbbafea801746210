import assert from 'node:assert/strict';
import {test} from 'node:test';
import {parse} from 'yaml';
import {NotMergeable, takeOut} from './hosts-merge.ts';
import {mergeRegistries} from './registries-yaml.ts';

const AGENT = {url: 'http://127.0.0.1:5055', secret: '0123456789abcdef', order: 'first'} as const;
const ENDPOINT = 'http://127.0.0.1:5055/noost-secret-0123456789abcdef/v2';
const NOTED = {owner: 'a', since: '2026-11-25T20:00:00Z', mode: '600', made: 0};

const CORP = `# the company's
mirrors:
    docker.io: # with a comment
        endpoint:
            - "https://mirror.corp"
    "reg.corp:5000": {endpoint: ["http://reg.corp:5000"]}
configs:
    "mirror.corp": {auth: {username: a, password: "b # c"}}
`;

for (const [what, base] of [
  ['nothing', ''],
  ['a comment without a line end', '# mine'],
  ['configs only', 'configs:\n  a.corp:\n    tls: {insecure_skip_verify: true}\n'],
  ['mirrors and configs', CORP],
  ['no line end', CORP.trimEnd()],
  ['carriage returns', CORP.replaceAll('\n', '\r\n')],
  ['mirrors behind configs', 'configs: {}\nmirrors:\n  a: {}\n'],
  ['a comment before the first mirror', 'mirrors:\n  # first\n  a: {}\n'],
] as const) {
  test(`mergeRegistries keeps everything of a file with ${what}, and takeOut gives it back`, () => {
    const text = mergeRegistries(base, AGENT, undefined, NOTED);
    const before = (parse(base) ?? {}) as Record<string, object>;
    const mirrors = {...before['mirrors'], '*': {endpoint: [ENDPOINT]}};
    assert.deepEqual(parse(text), {...before, mirrors});
    assert.equal(takeOut(text)?.rest, base);
    assert.equal(takeOut(text)?.untouched, true);
  });
}

test('mergeRegistries for some registries, and without a secret', () => {
  const text = mergeRegistries(CORP, {...AGENT, secret: undefined}, ['ghcr.io', 'quay.io'], NOTED);
  const {mirrors} = parse(text) as {mirrors: Record<string, object>};
  assert.deepEqual(Object.keys(mirrors), ['ghcr.io', 'quay.io', 'docker.io', 'reg.corp:5000']);
  assert.deepEqual(mirrors['ghcr.io'], {endpoint: [AGENT.url]});
});

for (const [what, base, registries, reason] of [
  ['a mirror that is there', CORP, ['docker.io'], /names mirrors of "docker.io" already/],
  ['a wildcard that is there', 'mirrors:\n  "*": {}\n', undefined, /already/],
  ['mirrors on one line', 'mirrors: {a: {}}\n', undefined, /allows no other/],
  ['mirrors that are empty', 'mirrors:\n', undefined, /allows no other/],
  ['no YAML', 'mirrors: [\n', undefined, /not valid YAML/],
  ['a list', '- a\n', undefined, /no map/],
] as const) {
  test(`mergeRegistries leaves alone: ${what}`, () => {
    assert.throws(
      () => mergeRegistries(base, AGENT, registries, NOTED),
      (error: unknown) => error instanceof NotMergeable && reason.test(error.message),
    );
  });
}
