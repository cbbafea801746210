import assert from 'node:assert/strict';
import {mkdtempDisposable, readFile, rm, writeFile} from 'node:fs/promises';
import {createServer} from 'node:http';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {describeTree, makeTree} from '../../test/node-tree.ts';
import {poll} from '../../test/poll.ts';
import {listen} from '../../proc/listen.ts';
import {NodeKeeper, type Counts} from './keeper.ts';

const CERTS = '/etc/containerd/certs.d';
const CORP = 'server = "https://ghcr.io"\n[host."https://mirror.corp"]\n';

/** A node's files, a server in the agent's place, and keepers of both. */
class Stage implements AsyncDisposable {
  readonly root: string;
  readonly url: string;
  readonly logged: string[] = [];
  reason: string | undefined;
  status = 200;
  counts: Counts | undefined;
  readonly #stack: AsyncDisposableStack;

  readonly problems: string[] = [];

  private constructor(root: string, url: string, stack: AsyncDisposableStack) {
    this.root = root;
    this.url = url;
    this.#stack = stack;
  }

  static async create(): Promise<Stage> {
    const stack = new AsyncDisposableStack();
    const {path: root} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-keeper-')));
    await makeTree(root, {
      'etc/containerd/config.toml': {
        file: `version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "${CERTS}"\n`,
      },
      [`.${CERTS}/ghcr.io/hosts.toml`]: {file: CORP, mode: 0o640},
    });
    let stage: Stage | undefined;
    const server = createServer((_req, res) => res.writeHead(stage?.status ?? 500).end());
    const listening = await listen(server, {host: '127.0.0.1', port: 0});
    stack.defer(() => listening.drain(0));
    stage = new Stage(root, `http://${listening.address}`, stack);
    return stage;
  }

  keeper(): NodeKeeper {
    const say = (message: string): void => void this.logged.push(message);
    const keeper = new NodeKeeper({
      config: {
        configure: 'containerd',
        hostRoot: this.root,
        containerdConfig: undefined,
        certsDir: undefined,
        registries: undefined,
        order: 'first',
      },
      url: this.url,
      secret: () => Promise.resolve('0123456789abcdef0123'),
      notReady: () => this.reason,
      told: (counts) => (this.counts = counts),
      problem: (text) => this.problems.push(text),
      log: {debug: say, info: say, warn: say, error: say, access: () => undefined, audit: () => undefined},
      everyMs: 20,
    });
    this.#stack.defer(() => keeper.stop());
    return keeper;
  }

  file(name: string): string {
    return join(this.root, CERTS, name, 'hosts.toml');
  }

  text(name: string): Promise<string> {
    return readFile(this.file(name), 'utf8').catch(() => '');
  }

  /** Waits until both files name us, or neither does. */
  async until(named: boolean): Promise<void> {
    await poll(`the files ${named ? 'name' : 'do not name'} the agent`, async () => {
      const texts = await Promise.all(['ghcr.io', '_default'].map((name) => this.text(name)));
      return texts.every((text) => text.includes(this.url) === named);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

test('NodeKeeper writes, repairs drift, takes out when it cannot serve, writes again, and leaves nothing behind', async () => {
  await using stage = await Stage.create();
  const before = await describeTree(stage.root);
  const keeper = stage.keeper();
  await keeper.start();
  await stage.until(true);
  assert.match(await stage.text('_default'), /Noost-Node-Secret = \["0123456789abcdef0123"\]/);
  assert.deepEqual(stage.counts, {written: 2, leftAlone: 0, failed: 0});

  await rm(join(stage.file('_default'), '..'), {recursive: true});
  await stage.until(true);

  stage.reason = 'the data folder cannot be used';
  await stage.until(false);
  assert.deepEqual(await describeTree(stage.root), before);
  stage.reason = undefined;
  await stage.until(true);

  await keeper.stop();
  assert.deepEqual(await describeTree(stage.root), before);
});

test('NodeKeeper writes nothing before the agent answers, and takes out when it no longer does', async () => {
  await using stage = await Stage.create();
  const before = await describeTree(stage.root);
  stage.status = 503;
  const keeper = stage.keeper();
  await keeper.start();
  assert.deepEqual(await describeTree(stage.root), before);
  stage.status = 200;
  await stage.until(true);
  stage.status = 503;
  await stage.until(false);
  await keeper.stop();
  assert.deepEqual(await describeTree(stage.root), before);
});

test('of two NodeKeepers the newer has the files, whichever writes last, and the leaving one leaves them to it', async () => {
  await using stage = await Stage.create();
  const before = await describeTree(stage.root);
  const older = stage.keeper();
  await older.start();
  const first = await stage.text('_default');
  await new Promise((resolve) => setTimeout(resolve, 5)); // the clock that tells them apart has milliseconds
  const newer = stage.keeper();
  await newer.start();
  const second = await stage.text('_default');
  assert.notEqual(second, first);
  // The user's edit makes both write.
  await writeFile(stage.file('ghcr.io'), CORP);
  await stage.until(true);
  await older.stop();
  await stage.until(true);
  assert.equal(await stage.text('_default'), second, 'neither taken over nor taken out by the older one');
  await newer.stop();
  assert.deepEqual(
    (await describeTree(stage.root)).map((line) => line.split(' ')[0]),
    before.map((line) => line.split(' ')[0]),
  );
  assert.equal(await stage.text('ghcr.io'), CORP);
});

test('NodeKeeper says once what it cannot do', async () => {
  await using stage = await Stage.create();
  await writeFile(stage.file('ghcr.io'), 'server = \n');
  const keeper = stage.keeper();
  await keeper.start();
  await poll('some passes', async () => Promise.resolve(stage.counts?.leftAlone === 1));
  await new Promise((resolve) => setTimeout(resolve, 300)); // about fifteen passes
  assert.equal(stage.logged.filter((line) => line.includes('not all')).length, 1);
  assert.equal(stage.problems.length, 1);
  assert.match(stage.problems[0] ?? '', /^not all.*ghcr\.io left alone: it is not valid TOML/);
  await keeper.stop();
});
