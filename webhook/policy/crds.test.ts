import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {parse} from 'yaml';
import {BOUNDS} from './object-schema.ts';

/** A part of a structural schema, as far as these tests look. */
interface Schema {
  readonly maxItems?: number;
  readonly maxProperties?: number;
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly 'x-kubernetes-preserve-unknown-fields'?: boolean;
}
interface Definition {
  readonly spec: {
    readonly versions: readonly [
      {readonly schema: {readonly openAPIV3Schema: Schema}; readonly subresources: {readonly status?: object}},
    ];
  };
}

const FOLDER = join(import.meta.dirname, '../../manifests/crds');
const NAMES = ['clusterimagepolicies', 'imagepolicies', 'imagepolicyexceptions'] as const;
const MAX_BYTES = 256 * 1024;

function read(name: (typeof NAMES)[number]): {
  readonly text: string;
  readonly spec: Schema;
  readonly definition: Definition;
} {
  const text = readFileSync(join(FOLDER, `${name}.yaml`), 'utf8');
  const definition = parse(text) as Definition;
  return {text, definition, spec: at(definition.spec.versions[0].schema.openAPIV3Schema, 'spec')};
}

function at(schema: Schema | undefined, ...path: readonly string[]): Schema {
  const found = path.reduce<Schema | undefined>(
    (part, step) => (step === '[]' ? part?.items : part?.properties?.[step]),
    schema,
  );
  assert.ok(found, `no ${path.join('.')}`);
  return found;
}

/** Every field below the spec, with its path. */
function fields(schema: Schema, path: string): (readonly [string, Schema])[] {
  const own = Object.entries(schema.properties ?? {}).flatMap(([name, part]) => [
    [`${path}.${name}`, part] as const,
    ...fields(part, `${path}.${name}`),
  ]);
  return schema.items === undefined ? own : [...own, ...fields(schema.items, `${path}[]`)];
}

for (const name of NAMES) {
  test(`the CRD ${name} is small, has a status, and says of every field what it is`, () => {
    const {text, spec, definition} = read(name);
    assert.ok(Buffer.byteLength(text) < MAX_BYTES);
    assert.ok(definition.spec.versions[0].subresources.status);
    assert.deepEqual(
      fields(spec, 'spec')
        .filter(([, {description}]) => !description)
        .map(([path]) => path),
      [],
    );
  });

  test(`the CRD ${name} keeps unknown fields, so that a typing error is told instead of lost`, () => {
    const losing = [['spec', read(name).spec] as const, ...fields(read(name).spec, 'spec')].filter(
      ([, part]) => part.properties !== undefined && part['x-kubernetes-preserve-unknown-fields'] !== true,
    );
    assert.deepEqual(
      losing.map(([path]) => path),
      [],
    );
  });
}

test('the CRDs of both kinds of policy differ in the namespaceSelector alone', () => {
  const own = (spec: Schema) => ({...spec.properties, namespaceSelector: undefined});
  assert.deepEqual(own(read('clusterimagepolicies').spec), own(read('imagepolicies').spec));
  assert.deepEqual(
    at(read('imagepolicyexceptions').spec, 'match'),
    at(read('imagepolicies').spec, 'rules', '[]', 'match'),
  );
});

test('the CRDs have the bounds that the engine has', () => {
  const {spec} = read('clusterimagepolicies');
  assert.deepEqual(
    {
      rules: at(spec, 'rules').maxItems,
      matches: at(spec, 'rules', '[]', 'match').maxItems,
      serviceAccounts: at(spec, 'serviceAccounts').maxItems,
      policies: at(read('imagepolicyexceptions').spec, 'policies').maxItems,
      labels: at(spec, 'podSelector', 'matchLabels').maxProperties,
      values: at(spec, 'podSelector', 'matchExpressions', '[]', 'values').maxItems,
    },
    BOUNDS,
  );
});
