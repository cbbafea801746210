import assert from 'node:assert/strict';
import {mkdtempDisposable, readFile, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {ConfigError} from '../../proc/config/error.ts';
import {loadAgentConfig} from './load.ts';

for (const page of ['docs/install.md', 'docs/operate.md', 'docs/when-it-fails.md'])
  test(`every YAML example of ${page} is a configuration, but for the files it names`, async () => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'noost-examples-'));
    const text = await readFile(join(import.meta.dirname, '../..', page), 'utf8');
    for (const [i, [, yaml = '']] of [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].entries()) {
      const path = join(folder.path, `${i}.yaml`);
      await writeFile(path, yaml);
      const wrong = await loadAgentConfig({config: path}, {}).then(() => '', messageOf);
      for (const line of wrong.split('\n').slice(1)) assert.match(line, /\(ENOENT\)$/, yaml);
    }
  });

/** One line for each thing that is wrong, after a first one. */
function messageOf(error: unknown): string {
  assert.ok(error instanceof ConfigError);
  return error.message;
}
