import assert from 'node:assert/strict';
import {createHash} from 'node:crypto';
import {readdir, readFile} from 'node:fs/promises';
import {join} from 'node:path';
import type {AgentRig} from './agent-rig.ts';
import {ask, type Answer} from './ask.ts';
import type {FakeImage} from './fake-content.ts';
import type {FakeRegistry} from './fake-registry.ts';

/** An agent whose one upstream is `registry`, and whose disk may be full. */
export const configFor = (registry: FakeRegistry, more: object = {}): {config: Record<string, unknown>} => ({
  config: {cache: {minFreeDisk: '0%'}, upstreams: [{host: 'up.test', url: registry.url}], ...more},
});

/** Asks for an image's manifest, configuration and layers, in this order. */
export async function pull(agent: Pick<AgentRig, 'address'>, image: FakeImage): Promise<Answer[]> {
  const answers = [await ask(agent.address, `/v2/app/manifests/${image.digest}?ns=up.test`)];
  for (const digest of [image.config, ...image.layers])
    answers.push(await ask(agent.address, `/v2/app/blobs/${digest}?ns=up.test`));
  return answers;
}

export async function assertPullsRight(agent: Pick<AgentRig, 'address'>, image: FakeImage): Promise<void> {
  const answers = await pull(agent, image);
  const digests = [image.digest, image.config, ...image.layers];
  for (const [i, answer] of answers.entries()) {
    assert.equal(answer.status, 200, answer.body.toString().slice(0, 200));
    assert.equal(answer.complete, true);
    assert.equal(answer.digest, digests[i]);
  }
}

/** Promise 1, by the folder itself: every file under a digest has that digest. */
export async function assertWhole(dataDir: string): Promise<number> {
  let files = 0;
  for (const folder of await readdir(join(dataDir, 'blobs', 'sha256')).catch(() => []))
    for (const hex of await readdir(join(dataDir, 'blobs', 'sha256', folder))) {
      const actual = createHash('sha256')
        .update(await readFile(join(dataDir, 'blobs', 'sha256', folder, hex)))
        .digest('hex');
      assert.equal(actual, hex);
      files++;
    }
  return files;
}
