import assert from 'node:assert/strict';
import {mkdir} from 'node:fs/promises';
import {join} from 'node:path';
import {setTimeout as delay} from 'node:timers/promises';
import {test} from 'node:test';
import {describeTree} from '../node-tree.ts';
import {askers, IMAGE, LOGIN, NAME, newNodeStage, untilNamed, type NodeStage} from '../node-stage.ts';
import {Child} from '../peers/child.ts';
import {CONTAINERD_2} from '../peers/containerd2.ts';
import {environment} from '../peers/environment.ts';
import {goPrograms} from '../peers/go-program.ts';

/** Without it the transfer service of containerd 2 keeps nothing: its default is for a snapshotter that needs no copy. */
const UNPACK = `
[[plugins."io.containerd.transfer.v1.local".unpack_config]]
platform = "linux"
snapshotter = "native"
`;
/** The user's own right, where the agent is not asked. */
const OWN = ['--user', `${LOGIN.username}:${LOGIN.password}`];

/** A pull of everything anew. @returns how long it took, in ms. */
async function pull({containerd}: NodeStage, ...flags: readonly string[]): Promise<number> {
  const begun = performance.now();
  await containerd.pull(IMAGE, ...flags);
  const took = performance.now() - begun;
  await containerd.forget(IMAGE);
  return Math.round(took);
}

const GET = `const r = await fetch(process.argv[1]); process.stdout.write(String(r.status));`;
const ANSWER_503 = `import {createServer} from 'node:http';
createServer((req, res) => res.writeHead(503).end('no')).listen(Number(process.argv[1]), '127.0.0.1', () => console.log('ready'));`;

for (const [what, isNew] of [
  ["Debian's containerd", false],
  ['containerd 2', true],
] as const) {
  test(`${what} with files that the agent wrote`, async (t) => {
    await using stack = new AsyncDisposableStack();
    const programs = isNew ? await goPrograms(t, CONTAINERD_2) : undefined;
    if (isNew && programs === undefined) return;
    const stage = await newNodeStage(t, stack, programs === undefined ? {} : {programs, more: UNPACK});
    if (stage === undefined) return;
    const {agent, machine, certs, before, folder} = stage;
    await untilNamed(stage, true);

    await t.test('pulls a private image by the credentials of the node, and all of it through the agent', async () => {
      await stage.registry.takeEntries();
      await pull(stage);
      assert.deepEqual(await askers(stage), ['noost']);
      await pull(stage);
      assert.ok((await agent.metric('noost_response_bytes_total', {source: 'cache'})) > 2 << 20, 'kept');
    });

    await t.test('which no other process of the node can read', async () => {
      const url = `${agent.url}/v2/team/private/manifests/v1?ns=${NAME}`;
      const args = ['--input-type=module', '--eval', GET, url];
      assert.equal((await machine.run(process.execPath, args, environment(folder))).toString(), '404');
      const none = join(folder, 'none');
      await mkdir(none);
      await assert.rejects(stage.containerd.ctr('images', 'pull', '--hosts-dir', none, IMAGE));
    });

    await t.test('with the agent killed: the registry itself is asked, as the user has configured it', async () => {
      await agent.stop('SIGKILL');
      await untilNamed(stage, true);
      await askers(stage);
      t.diagnostic(`killed: ${String(await pull(stage, ...OWN))} ms`);
      assert.deepEqual(await askers(stage), ['containerd']);
    });

    await t.test('with 503 in the place of the agent', async () => {
      const port = agent.address.split(':')[1] ?? '';
      const command = [...machine.inside, process.execPath, '--input-type=module', '--eval', ANSWER_503, port];
      await using server = new Child(command[0] ?? '', command.slice(1), {env: environment(folder)});
      await server.untilReady(() => server.lines.includes('ready'));
      t.diagnostic(`503: ${String(await pull(stage, ...OWN))} ms`);
      assert.deepEqual(await askers(stage), ['containerd']);
    });

    await t.test('after uninstall, and after the agent came back and was stopped: every file as it was', async () => {
      await agent.noostContainerd('uninstall', '--certs-dir', certs);
      assert.deepEqual(await describeTree(certs), before);
      await agent.restart();
      await untilNamed(stage, true);
      await agent.stop();
      assert.deepEqual(await describeTree(certs), before);
      t.diagnostic(`without: ${String(await pull(stage, ...OWN))} ms`);
      assert.deepEqual(await askers(stage), ['containerd']);
    });

    await t.test('with the agent hanging, until it is ended as the probe of the manifests does it', async () => {
      await agent.restart();
      await untilNamed(stage, true);
      agent.signal('SIGSTOP');
      const probe = endWhenDead(stage);
      t.diagnostic(`hanging: ${String(await pull(stage, ...OWN))} ms`);
      await probe;
      assert.deepEqual(await askers(stage), ['containerd']);
    });
  });
}

/** As the kubelet does with `livenessProbe` every 2 s, three times, 2 s each, and 5 s between SIGTERM and SIGKILL. */
async function endWhenDead({agent}: NodeStage): Promise<void> {
  for (let missed = 0; missed < 3;) {
    const answered = await Promise.race([agent.admin('/livez').catch(() => ''), delay(2_000, '')]);
    missed = answered === '' ? missed + 1 : 0;
    if (answered !== '') await delay(2_000);
  }
  agent.signal('SIGTERM');
  await delay(5_000);
  await agent.stop('SIGKILL');
}
