import assert from 'node:assert/strict';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {test} from 'node:test';
import {parseAllDocuments} from 'yaml';
import {ask} from './rig.ts';
import {validatePolicyObject} from './validate.ts';

const TEXT = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'policies.md'), 'utf8');
const README = readFileSync(join(import.meta.dirname, '..', '..', 'README.md'), 'utf8');

function examplesIn(text: string): unknown[] {
  const blocks = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, yaml = '']) => yaml);
  return blocks
    .filter((yaml) => yaml.includes('noost.dev/'))
    .flatMap((yaml) => parseAllDocuments(yaml).map((one) => one.toJS() as unknown));
}

test('every policy and exception in docs/policies.md and README.md is one', () => {
  const examples = [...examplesIn(TEXT), ...examplesIn(README)];
  assert.ok(examples.length >= 3);
  for (const example of examples) assert.deepEqual(validatePolicyObject(example), []);
});

test('the first policy in docs/policies.md says of images what the table below it says', () => {
  const [policy] = examplesIn(TEXT);
  const rows = [...TEXT.matchAll(/^\| `([^`]+)` \| (admitted|refused) \| (.+) \|$/gm)];
  assert.equal(rows.length, 7);
  for (const [, image = '', verdict, why = ''] of rows) {
    const {allowed, images} = ask([policy], [image], {namespaceLabels: {env: 'prod'}});
    assert.equal(allowed ? 'admitted' : 'refused', verdict, image);
    const [, rule] = /rule `([^`]+)`/.exec(why) ?? [];
    assert.equal(images[0]?.outcomes[0]?.rule, rule, image);
  }
});
