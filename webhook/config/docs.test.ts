import assert from 'node:assert/strict';
import {mkdtempDisposable, readFile, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {parse} from 'yaml';
import {ConfigError} from '../../proc/config/error.ts';
import type {JsonSchema} from '../../proc/config/json-schema.ts';
import {withTables} from '../../proc/config/reference.ts';
import {loadWebhookConfig} from './load.ts';
import {webhookTables} from './reference.ts';
import {renderWebhookConfig} from './render.ts';
import {WEBHOOK_JSON_SCHEMA} from './settings.ts';

/** With this set the two files are written instead of compared: NOOST_TEST_UPDATE=1 npm test -- webhook/config/docs.test.ts */
const isUpdate = process.env['NOOST_TEST_UPDATE'] === '1';
const docs = join(import.meta.dirname, '../../docs');

async function holdEqual(name: string, expected: string): Promise<void> {
  if (isUpdate) await writeFile(join(docs, name), expected);
  const message = `docs/${name} is out of date: NOOST_TEST_UPDATE=1 npm test -- webhook/config/docs.test.ts`;
  assert.ok((await readFile(join(docs, name), 'utf8')) === expected, message);
}

test('docs/noost-webhook.schema.json is the schema of the code', async () => {
  await holdEqual('noost-webhook.schema.json', `${JSON.stringify(WEBHOOK_JSON_SCHEMA, null, 2)}\n`);
});

test('docs/webhook-configuration.md has every key, flag, variable and default', async () => {
  const page = await readFile(join(docs, 'webhook-configuration.md'), 'utf8');
  await holdEqual('webhook-configuration.md', withTables(page, webhookTables()));
});

test('every example of docs/webhook-configuration.md is a configuration, but for the files it names', async () => {
  const text = await readFile(join(docs, 'webhook-configuration.md'), 'utf8');
  const examples = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, yaml = '']) => yaml);
  assert.ok(examples.length >= 4);
  await using folder = await mkdtempDisposable(join(tmpdir(), 'noost-'));
  for (const [i, yaml] of examples.entries()) {
    const path = join(folder.path, `${String(i)}.yaml`);
    await writeFile(path, yaml);
    const wrong = await loadWebhookConfig({config: path}, {}).then(() => [], issuesOf);
    assert.deepEqual(
      wrong.filter((message) => !message.includes('(ENOENT)')),
      [],
      yaml,
    );
  }
});

test('the defaults that the documentation shows are those that are in effect', async () => {
  const effective = parse(renderWebhookConfig(await loadWebhookConfig({}, {}))) as unknown;
  const shown = defaultsOf(WEBHOOK_JSON_SCHEMA, []);
  assert.ok(shown.length > 10);
  for (const [path, value] of shown) assert.deepEqual(at(effective, path), value, path.join('.'));
});

function issuesOf(error: unknown): string[] {
  assert.ok(error instanceof ConfigError);
  return error.issues.map(({message}) => message);
}

function defaultsOf({properties = {}}: JsonSchema, path: readonly string[]): [readonly string[], unknown][] {
  return Object.entries(properties).flatMap(([name, inner]): [readonly string[], unknown][] => {
    if (inner.properties !== undefined) return defaultsOf(inner, [...path, name]);
    return inner.default === undefined ? [] : [[[...path, name], inner.default]];
  });
}

function at(tree: unknown, path: readonly string[]): unknown {
  return path.reduce((value: unknown, name) => (value as Record<string, unknown>)[name], tree);
}
