import assert from 'node:assert/strict';
import {mkdtempDisposable, readFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {writeFile} from 'node:fs/promises';
import {AgentRig} from '../agent-rig.ts';
import {FakeRegistry} from '../fake-registry.ts';
import {needs} from '../needs.ts';
import {describeTree, makeTree} from '../node-tree.ts';
import {environment} from '../peers/environment.ts';
import {run} from '../peers/run.ts';
import {poll} from '../poll.ts';

/** With a node's /etc/containers in the place of the machine's: skopeo and CRI-O read it by the same library. */
const INSIDE = 'mount --bind "$1" /etc/containers; shift; exec "$@"';

test('containers/image with the drop-in that the agent wrote gets a private image by the secret in the path', async (t) => {
  if (!needs(t, 'root', 'skopeo', 'unshare', 'mount')) return;
  await using folder = await mkdtempDisposable(join(tmpdir(), 'noost-crio-'));
  await makeTree(folder.path, {
    'etc/containers/policy.json': {file: '{"default": [{"type": "insecureAcceptAnything"}]}'},
    'etc/containers/registries.conf': {file: 'unqualified-search-registries = []\n'},
    password: {file: 'secret'},
  });
  const before = await describeTree(join(folder.path, 'etc'));
  await using registry = await FakeRegistry.start({auth: 'bearer'});
  registry.content.addImage('team/private', 'v1', ['one layer']);
  const credentials = {username: 'user', passwordFile: join(folder.path, 'password')};
  const upstreams = [{host: 'quay.io', url: registry.url, credentials}];
  const node = {configure: 'crio', hostRoot: folder.path};
  await using agent = await AgentRig.start({config: {upstreams, node, cache: {minFreeDisk: '0%'}}});
  const dropIn = join(folder.path, 'etc/containers/registries.conf.d/50-noost.conf');
  await poll('the drop-in is there', async () =>
    (await readFile(dropIn, 'utf8').catch(() => '')).includes(agent.address),
  );

  const containers = join(folder.path, 'etc/containers');
  const copy = async (to: string): Promise<Buffer> => {
    const skopeo = ['skopeo', 'copy', '--quiet', 'docker://quay.io/team/private:v1', `dir:${join(folder.path, to)}`];
    const args = ['--mount', '--propagation', 'private', 'sh', '-c', INSIDE, 'sh', containers, ...skopeo];
    return run('unshare', args, {env: environment(folder.path)});
  };
  await copy('with');
  assert.ok((await agent.metric('noost_response_bytes_total')) > 0);

  // Without the secret the same drop-in gets nothing.
  const text = await readFile(dropIn, 'utf8');
  await agent.stop();
  assert.deepEqual(await describeTree(join(folder.path, 'etc')), before);
  await agent.writeConfig({
    node: {configure: 'none'},
    listeners: [{address: agent.address, secretFile: join(agent.dataDir, 'node-secret')}],
  });
  await agent.restart();
  await makeTree(folder.path, {
    'etc/containers/registries.conf.d/50-noost.conf': {file: text.replace(/\/noost-secret-[0-9a-f]+/g, '')},
  });
  await assert.rejects(copy('without'));
  await writeFile(dropIn, text);
  await copy('again');
  assert.ok(
    agent.lines.every((line) => !line.includes((/noost-secret-([0-9a-f]+)/.exec(text) ?? [])[1] ?? 'no secret')),
  );
});
