import assert from 'node:assert/strict';
import {randomBytes} from 'node:crypto';
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, test} from 'node:test';
import {AgentRig} from '../agent-rig.ts';
import {ask, type Answer} from '../ask.ts';
import {FakeRegistry} from '../fake-registry.ts';
import type {FakeImage} from '../fake-content.ts';
import {poll} from '../poll.ts';

// SIGHUP while clients pull: no request fails, what can change does, and a bad file changes nothing and says why.

const MIB = 1 << 20;
const CLIENTS = 6;

let folder: string;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noost-reload-'));
  await writeFile(join(folder, 'old'), 'secret\n');
  await writeFile(join(folder, 'new'), 'rotated\n');
});
after(() => rm(folder, {recursive: true}));

function upstream(host: string, registry: FakeRegistry, password?: string): object {
  const credentials = {username: 'user', passwordFile: join(folder, password ?? '')};
  return {host, url: registry.url, freshFor: '1h', ...(password === undefined ? {} : {credentials})};
}

/** Sends SIGHUP and waits until the agent says what became of it. */
async function reload(agent: AgentRig): Promise<string> {
  const outcome = (): string[] => agent.log.map(({msg}) => String(msg)).filter((msg) => /reloaded/.test(msg));
  const before = outcome().length;
  agent.signal('SIGHUP');
  return poll('the agent has tried to reload', () => outcome()[before]);
}

/** Clients that pull one image again and again until they are told to stop. */
class Load implements AsyncDisposable {
  readonly failed: string[] = [];
  pulls = 0;
  readonly #clients: Promise<void>[];
  #stopped = false;
  constructor(agent: AgentRig, repository: string, image: FakeImage) {
    const paths = [
      ['manifests/v1', image.digest],
      ...[image.config, ...image.layers].map((digest) => [`blobs/${digest}`, digest]),
    ] as const;
    this.#clients = Array.from({length: CLIENTS}, async () => {
      while (!this.#stopped) {
        for (const [path, digest] of paths)
          this.#check(await ask(agent.address, `/v2/${repository}/${path}?ns=up.test`), `${path}`, `${digest}`);
        this.pulls++;
      }
    });
  }

  /** Waits until each client had time for some more pulls. */
  async more(): Promise<void> {
    const until = this.pulls + 3 * CLIENTS;
    await poll('more pulls', () => this.pulls >= until);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #check({status, complete, digest, error, body}: Answer, path: string, wanted: string): void {
    if (status === 200 && complete && digest === wanted) return;
    this.failed.push(`${path}: ${status} ${error ?? ''} ${body.toString().slice(0, 200)}`);
  }
}

test('SIGHUP under load takes over credentials, limits and upstreams, and no request fails', async () => {
  await using registry = await FakeRegistry.start({auth: 'basic'});
  await using other = await FakeRegistry.start();
  const image = registry.content.addImage('app', 'v1', [randomBytes(2 * MIB), randomBytes(1000)]);
  const second = other.content.addImage('app', 'v1', [randomBytes(1000)]);
  const limits = (maxSize: string): object => ({cache: {maxSize, minFreeDisk: '0%'}});
  await using agent = await AgentRig.start({
    config: {upstreams: [upstream('up.test', registry, 'old')], ...limits('1GiB')},
  });
  await using load = new Load(agent, 'app', image);
  await load.more();

  // A blob that is on its way by the old settings comes whole, though their connections are given up.
  const cold = registry.content.addBlob('app', randomBytes(6 * MIB));
  registry.fail({kind: 'slow', bytesPerSecond: 6 * MIB}, {path: cold});
  const coming = ask(agent.address, `/v2/app/blobs/${cold}?ns=up.test`, {keep: false});
  await poll('it is on its way', () => registry.lines().some((line) => line.includes(cold)));
  await agent.writeConfig({
    upstreams: [upstream('up.test', registry, 'new'), upstream('other.test', other)],
    ...limits('512MiB'),
  });
  registry.auth.password = 'rotated';
  assert.equal(await reload(agent), 'configuration reloaded');
  assert.equal((await coming).digest, cold);
  assert.equal(registry.lines().filter((line) => line.includes(cold)).length, 1, 'nothing had to be asked again');
  await load.more();
  const fresh = registry.content.addImage('late', 'v1', [randomBytes(1000)]);
  for (const [host, repository, {digest}] of [
    ['up.test', 'late', fresh],
    ['other.test', 'app', second],
  ] as const) {
    const answer = await ask(agent.address, `/v2/${repository}/manifests/v1?ns=${host}`);
    assert.equal(answer.digest, digest, `${host}: ${answer.status} ${answer.body.toString()}`);
  }
  assert.equal(await agent.metric('noost_cache_max_bytes'), 512 * MIB);
  assert.equal(await agent.metric('noost_config_last_reload_successful'), 1);

  await agent.writeConfig({upstreams: [upstream('up.test', registry, 'new')], ...limits('512MiB')});
  assert.equal(await reload(agent), 'configuration reloaded');
  await load.more();
  other.clear();
  const gone = await ask(agent.address, `/v2/app/manifests/late?ns=other.test`);
  assert.notEqual(gone.status, 200);
  assert.deepEqual(other.lines(), [], 'an upstream that was taken out is not asked');
  await load.stop();
  assert.deepEqual(load.failed, []);
});

for (const {name, config, says} of [
  {name: 'has an unknown key', config: {cash: {}}, says: /cash .*unknown key/},
  {
    name: 'names a password file that is not there',
    config: {upstreams: [{host: 'up.test', credentials: {username: 'u', passwordFile: '/nowhere'}}]},
    says: /nowhere/,
  },
])
  test(`a file that ${name} changes nothing, and the log says why`, async () => {
    await using registry = await FakeRegistry.start();
    const image = registry.content.addImage('app', 'v1', [randomBytes(MIB)]);
    await using agent = await AgentRig.start({config: {upstreams: [upstream('up.test', registry)]}});
    await using load = new Load(agent, 'app', image);
    await load.more();
    await agent.writeConfig(config);
    assert.match(await reload(agent), /not reloaded: the old one stays/);
    const why = agent.log.find(({msg}) => /not reloaded/.test(String(msg)));
    assert.match(String(why?.['error']), says);
    assert.equal(await agent.metric('noost_config_last_reload_successful'), 0);
    await load.more();
    await load.stop();
    assert.deepEqual(load.failed, []);

    await agent.writeConfig({upstreams: [upstream('up.test', registry)]});
    assert.equal(await reload(agent), 'configuration reloaded');
    assert.equal(await agent.metric('noost_config_last_reload_successful'), 1);
  });

test('SIGHUP says which settings wait for a restart', async () => {
  await using agent = await AgentRig.start();
  await agent.writeConfig({adminListen: '127.0.0.1:1'});
  assert.equal(await reload(agent), 'configuration reloaded');
  const warned = agent.log.find(({msg}) => msg === 'some settings change only with a restart');
  assert.equal(warned?.['settings'], 'adminListen');
});
