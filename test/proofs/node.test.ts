import assert from 'node:assert/strict';
import {mkdir, mkdtempDisposable, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {test} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {ask} from '../ask.ts';
import {FakeRegistry} from '../fake-registry.ts';
import {freePort} from '../free-port.ts';
import {describeTree, makeTree} from '../node-tree.ts';
import {Child} from '../peers/child.ts';
import {environment} from '../peers/environment.ts';
import {poll} from '../poll.ts';

const PROGRAM = join(dirname(dirname(import.meta.dirname)), 'noost');
const DEFAULT = 'etc/containerd/certs.d/_default/hosts.toml';

/** The secret that stands in a node's file; `undefined` if there is no such file. */
async function secretIn(root: string): Promise<string | undefined> {
  const text = await readFile(join(root, DEFAULT), 'utf8').catch(() => '');
  return /Noost-Node-Secret = \["([0-9a-f]{48})"\]/.exec(text)?.[1];
}

async function newNode(stack: AsyncDisposableStack): Promise<string> {
  const {path} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-node-proof-')));
  await makeTree(path, {
    'etc/containerd/certs.d/ghcr.io/hosts.toml': {file: 'server = "https://ghcr.io"\n'},
    password: {file: 'secret'},
  });
  return path;
}

test('the secret that the agent writes into the files of its node opens private images, also made anew, and no log has it', async () => {
  await using stack = new AsyncDisposableStack();
  const root = await newNode(stack);
  const before = await describeTree(join(root, 'etc'));
  const registry = stack.use(await FakeRegistry.start({auth: 'bearer'}));
  registry.content.addImage('private', 'v1', ['one']);
  const credentials = {username: 'user', passwordFile: join(root, 'password')};
  const upstreams = [{host: 'reg.test', url: registry.url, credentials}];
  const node = {configure: 'containerd', hostRoot: root};
  const agent = stack.use(await AgentRig.start({config: {upstreams, node, cache: {minFreeDisk: '0%'}}}));
  const status = async (secret?: string): Promise<number> => {
    const headers = secret === undefined ? {} : {'noost-node-secret': secret};
    return (await ask(agent.address, '/v2/private/manifests/v1?ns=reg.test', {headers})).status;
  };
  const secret = await poll('the secret is written', () => secretIn(root));
  assert.deepEqual([await status(), await status('0'.repeat(48)), await status(secret)], [404, 404, 200]);
  // The same after a crash: the lines that it left are right at once.
  await agent.stop('SIGKILL');
  assert.equal(await secretIn(root), secret);
  await agent.restart();
  assert.equal(await status(secret), 200);
  // Somebody removes it: another one, in the files and at the door.
  await rm(join(agent.dataDir, 'node-secret'));
  const next = await poll('another secret is written', async () => {
    const found = await secretIn(root);
    return found !== secret && found;
  });
  assert.deepEqual([await status(secret), await status(next)], [404, 200]);
  const lines = [...agent.lines];
  await agent.stop();
  assert.ok(lines.every((line) => !line.includes(secret) && !line.includes(next)));
  assert.deepEqual(await describeTree(join(root, 'etc')), before);
});

test('an agent that cannot use its data folder is in no file of its node, and is as soon as it can', async () => {
  await using stack = new AsyncDisposableStack();
  const root = await newNode(stack);
  const [address, adminListen] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const data = join(root, 'occupied/data');
  await writeFile(join(root, 'occupied'), 'a file where a folder should be');
  const node = {configure: 'containerd', hostRoot: root};
  await writeFile(join(root, 'noost.yaml'), JSON.stringify({listeners: [{address}], adminListen, data, node}));
  const env = environment(root);
  const agent = stack.use(new Child(PROGRAM, ['agent', '--config', join(root, 'noost.yaml')], {env}));
  const ready = async (): Promise<number> => (await fetch(`http://${adminListen}/readyz`)).status;
  await agent.untilReady(async () => (await ready().catch(() => 0)) === 503);
  await new Promise((resolve) => setTimeout(resolve, 3_000)); // more than one look
  assert.equal(await secretIn(root), undefined);
  await rm(join(root, 'occupied'));
  await mkdir(join(root, 'occupied'));
  const secret = await poll('the files name it', () => secretIn(root), 60_000);
  assert.equal(await readFile(join(data, 'node-secret'), 'utf8'), `${secret}\n`);
  assert.equal(await ready(), 200);
});
