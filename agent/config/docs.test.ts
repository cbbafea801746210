import assert from 'node:assert/strict';
import {mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {parse, stringify} from 'yaml';
import {ConfigError} from '../../proc/config/error.ts';
import type {JsonSchema} from '../../proc/config/json-schema.ts';
import {withTables} from '../../proc/config/reference.ts';
import {loadAgentConfig} from './load.ts';
import {agentTables} from './reference.ts';
import {renderAgentConfig} from './render.ts';
import {AGENT_JSON_SCHEMA} from './settings.ts';

/** With this set the two files are written instead of compared: NOOST_TEST_UPDATE=1 npm test -- agent/config/docs.test.ts */
const isUpdate = process.env['NOOST_TEST_UPDATE'] === '1';
const docs = join(import.meta.dirname, '../../docs');

async function holdEqual(name: string, expected: string): Promise<void> {
  if (isUpdate) await writeFile(join(docs, name), expected);
  const message = `docs/${name} is out of date: NOOST_TEST_UPDATE=1 npm test -- agent/config/docs.test.ts`;
  assert.ok((await readFile(join(docs, name), 'utf8')) === expected, message);
}

test('docs/noost.schema.json is the schema of the code', async () => {
  await holdEqual('noost.schema.json', `${JSON.stringify(AGENT_JSON_SCHEMA, null, 2)}\n`);
});

test('docs/configuration.md has every key, flag, variable and default', async () => {
  await holdEqual(
    'configuration.md',
    withTables(await readFile(join(docs, 'configuration.md'), 'utf8'), agentTables()),
  );
});

test('every example of the documentation is a configuration, but for the files it names', async () => {
  const pages = await Promise.all(
    ['configuration.md', 'registry.md'].map((name) => readFile(join(docs, name), 'utf8')),
  );
  const examples = [...pages.join('\n').matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, yaml = '']) => yaml);
  examples.push(await readFile(join(docs, '../manifests/registry/registry.yaml'), 'utf8'));
  assert.ok(examples.length >= 7);
  await using folder = await newFolder();
  for (const [i, yaml] of examples.entries()) {
    const path = join(folder.path, `${String(i)}.yaml`);
    await writeFile(path, yaml);
    const wrong = await loadAgentConfig({config: path}, {}).then(() => [], issuesOf);
    assert.deepEqual(
      wrong.filter((message) => !message.includes('(ENOENT)')),
      [],
      yaml,
    );
  }
});

test('the defaults that the documentation shows are those that are in effect', async () => {
  const listeners = '[{address: "127.0.0.1:1", door: direct, users: {anonymous: pull}}]';
  const flags = {data: './data', upstreams: '[{host: ghcr.io}]', listeners};
  const effective = parse(renderAgentConfig(await loadAgentConfig(flags, {}))) as unknown;
  const shown = AGENT_JSON_SCHEMA;
  assert.deepEqual(withoutUndefined(defaultsOf(shown)), pick(effective, defaultsOf({...shown})));
  const upstream = shown.properties?.['upstreams']?.items ?? {};
  const [first] = (effective as {upstreams: unknown[]}).upstreams;
  const {mirrors, tls, credentials, ...same} = defaultsOf(upstream);
  assert.deepEqual(mirrors, []);
  assert.ok(tls !== undefined && credentials !== undefined);
  assert.deepEqual(same, pick(first, same));
});

function issuesOf(error: unknown): string[] {
  assert.ok(error instanceof ConfigError);
  return error.issues.map(({message}) => message);
}

async function newFolder(): Promise<AsyncDisposable & {readonly path: string}> {
  const path = await mkdtemp(join(tmpdir(), 'noost-'));
  return {path, [Symbol.asyncDispose]: () => rm(path, {recursive: true})};
}

type Tree = Record<string, unknown>;

/** As a file that says all defaults. Lists and paths are compared elsewhere. */
function defaultsOf({properties = {}}: JsonSchema): Tree {
  const entries = Object.entries(properties).flatMap(([name, inner]): [string, unknown][] => {
    if (inner.properties !== undefined) return [[name, defaultsOf(inner)]];
    if (inner.default === undefined || name === 'listeners' || name === 'upstreams' || name === 'data') return [];
    return [[name, inner.default]];
  });
  return Object.fromEntries(entries);
}

function withoutUndefined(tree: Tree): unknown {
  return parse(stringify(tree));
}

/** Of `tree` what `like` has. */
function pick(tree: unknown, like: unknown): unknown {
  if (typeof like !== 'object' || like === null || Array.isArray(like)) return tree;
  return Object.fromEntries(Object.entries(like).map(([key, inner]) => [key, pick((tree as Tree)[key], inner)]));
}
