import assert from 'node:assert/strict';
import {createHash, randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {readFile} from 'node:fs/promises';
import {connect, type Socket} from 'node:net';
import {after, before, test} from 'node:test';
import {setTimeout as delay} from 'node:timers/promises';
import {AgentRig} from '../agent-rig.ts';
import {ask} from '../ask.ts';
import {FakeRegistry} from '../fake-registry.ts';
import {needs} from '../needs.ts';
import {run} from '../peers/run.ts';
import {poll} from '../poll.ts';

// The agent seen from outside by clients that are careless or hostile: what none of them may do to the others.

let registry: FakeRegistry;
let agent: AgentRig;

before(async () => {
  registry = await FakeRegistry.start();
  agent = await AgentRig.start({
    config: {cache: {minFreeDisk: '0%'}, upstreams: [{host: 'up.test', url: registry.url, freshFor: '0s'}]},
  });
});
after(async () => {
  await agent[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

async function open(address = agent.address): Promise<Socket> {
  const [host = '', port = ''] = address.split(':');
  const socket = connect(Number(port), host);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return socket;
}

test('clients that leave at once, while the upstream fails, do not end the agent', {timeout: 60_000}, async () => {
  registry.fail({kind: 'reset'}, {times: Infinity});
  for (let i = 0; i < 200; i++) {
    const socket = await open();
    const digest = `sha256:${createHash('sha256').update(String(i)).digest('hex')}`;
    const what = ['manifests/v1', `manifests/${digest}`, `blobs/${digest}`, 'tags/list'][i % 4] ?? '';
    socket.write(`GET /v2/app${i}/${what}?ns=up.test HTTP/1.1\r\nHost: x\r\n\r\n`);
    if (i % 3 === 0) socket.destroy();
    else if (i % 3 === 1) setImmediate(() => socket.destroy());
    else setTimeout(() => socket.resetAndDestroy(), 1);
  }
  await delay(1000);
  registry.clear();
  assert.equal(agent.status, undefined, agent.lines.slice(-5).join('\n'));
  assert.equal((await ask(agent.address, '/v2/')).status, 200);
  const status = async (): Promise<number> => (await ask(agent.address, '/v2/app/manifests/none?ns=up.test')).status;
  await poll('the upstream is asked again', async () => (await status()) === 404);
});

test('a digest that is no manifest is found as a blob right after (B-032)', async () => {
  const digest = registry.content.addBlob('digests', randomBytes(1000));
  const none = await ask(agent.address, `/v2/digests/manifests/${digest}?ns=up.test`);
  assert.equal(none.status, 404, none.body.toString());
  assert.equal((await ask(agent.address, `/v2/digests/blobs/${digest}?ns=up.test`)).digest, digest);
});

test('who asks for a tag every second does not keep it from being seen once it is pushed (D-029)', async () => {
  registry.content.at('pushed');
  const path = '/v2/pushed/manifests/new?ns=up.test';
  const none = await ask(agent.address, path);
  assert.equal(none.status, 404, none.body.toString());
  registry.content.addImage('pushed', 'new');
  for (let tries = 0; (await ask(agent.address, path)).status !== 200; tries++) {
    assert.ok(tries < 16, 'a 404 is remembered for 5 s, however often it is asked for');
    await delay(500);
  }
});

for (const [what, range] of [
  ['spaces', `bytes=${' '.repeat(30_000)}x`],
  ['digits', `bytes=${'9'.repeat(30_000)}-`],
  ['ranges', `bytes=${'0-0,'.repeat(7000)}1-1`],
] as const)
  test(`a Range header of very many ${what} is answered in full, with the whole blob`, async () => {
    const digest = registry.content.addBlob('ranges', Buffer.from('some bytes'));
    const answer = await ask(agent.address, `/v2/ranges/blobs/${digest}?ns=up.test`, {headers: {range}});
    assert.equal(answer.status, 200);
    assert.equal(answer.digest, digest);
  });

for (const [what, link] of [
  ['spaces', `<x>; rel=${' '.repeat(60_000)}x`],
  ['opening brackets', '<'.repeat(60_000)],
  ['parameters', `<x>${';rel=a'.repeat(10_000)}`],
] as const)
  test(`a Link of very many ${what} does not hold up the agent, and is no link`, {timeout: 10_000}, async () => {
    registry.content.addImage('links', 'v1');
    registry.fail({kind: 'header', headers: {link}}, {path: /tags/});
    const answer = await ask(agent.address, `/v2/links/tags/list?ns=up.test&n=${what.length}`);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['link'], undefined);
  });

test('a connection of the runtime door is not paced; one of another door has the control of the system', async (t) => {
  if (!needs(t, 'ss')) return;
  const system = (await readFile('/proc/sys/net/ipv4/tcp_congestion_control', 'utf8')).trim();
  for (const [address, control] of [
    [agent.address, 'reno'],
    [agent.adminAddress, system],
  ] as const) {
    const socket = await open(address);
    const connections = await run('ss', ['-tinH', 'state', 'established', `( sport = :${address.split(':')[1]} )`]);
    assert.match(connections.toString(), new RegExp(`^\\s+.*\\b${control}\\b`, 'm'), address);
    socket.destroy();
  }
});
