import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtempDisposable, readFile, writeFile} from 'node:fs/promises';
import {createServer} from 'node:http';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {listen} from '../../proc/listen.ts';
import {describeTree, makeTree} from '../../test/node-tree.ts';

const CLI = join(import.meta.dirname, '../../proc/cli.ts');
const CERTS = 'etc/containerd/certs.d';
const SECRET = '0123456789abcdef0123';
const CRI = '[plugins."io.containerd.grpc.v1.cri".registry]';

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** A node's file system, and the program. */
class Stage implements AsyncDisposable {
  readonly root: string;
  readonly #dispose: () => Promise<void>;
  private constructor(root: string, dispose: () => Promise<void>) {
    this.root = root;
    this.#dispose = dispose;
  }

  static async create(): Promise<Stage> {
    const folder = await mkdtempDisposable(join(tmpdir(), 'noost-containerd-'));
    await makeTree(folder.path, {
      'etc/containerd/config.toml': {file: `version = 2\n${CRI}\nconfig_path = "/${CERTS}"\n`},
      [`${CERTS}/ghcr.io/hosts.toml`]: {file: 'server = "https://ghcr.io"\n'},
      [`${CERTS}/quay.io/hosts.toml`]: {file: 'server = "https://quay.io"\n'},
      'own/secret': {file: SECRET},
    });
    return new Stage(folder.path, () => folder.remove());
  }

  get secret(): string {
    return join(this.root, 'own/secret');
  }

  async run(...words: readonly string[]): Promise<Ended> {
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('NOOST_')));
    const child = spawn(process.execPath, [CLI, 'containerd', ...words], {
      env: {...env, NOOST_NODE_HOST_ROOT: this.root},
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said = {out: '', err: ''};
    child.stdout.on('data', (chunk: Buffer) => (said.out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (said.err += chunk.toString()));
    const [code] = (await once(child, 'close')) as [number];
    assert.ok(!(said.out + said.err).includes(SECRET), 'no output holds the secret');
    return {code, ...said};
  }

  hosts(name: string): Promise<string> {
    return readFile(join(this.root, CERTS, name, 'hosts.toml'), 'utf8').catch(() => '');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dispose();
  }
}

test('noost containerd install, status, doctor and uninstall, with an agent that answers', async () => {
  await using stage = await Stage.create();
  const before = await describeTree(stage.root);
  const agent = await listen(
    createServer((_req, res) => res.end()),
    {host: '127.0.0.1', port: 0},
  );
  const url = `http://${agent.address}`;
  const flags = ['--url', url, '--secret-file', stage.secret];
  const first = await stage.run('doctor', ...flags);
  assert.equal(first.code, 1);
  assert.match(first.out, /WRONG: no folder names the agent\n {2}noost containerd install/);
  const installed = await stage.run('install', ...flags);
  assert.deepEqual([installed.code, installed.err], [0, '']);
  assert.match(installed.out, /_default +written/);
  assert.match(await stage.hosts('ghcr.io'), new RegExp(SECRET));
  assert.match((await stage.run('status')).out, new RegExp(`ghcr.io +${url} +written by hand`));
  const doctor = await stage.run('doctor', ...flags);
  assert.deepEqual([doctor.code, doctor.out.split('\n').at(-2)], [0, 'Nothing is wrong.']);
  const {problems} = JSON.parse((await stage.run('doctor', ...flags, '--json')).out) as {problems: unknown[]};
  assert.deepEqual(problems, []);
  await writeFile(stage.secret, 'another-secret-0123456');
  assert.match((await stage.run('doctor', ...flags)).out, /has another secret/);
  await agent.drain(0);
  const gone = await stage.run('doctor', '--url', url);
  assert.equal(gone.code, 1);
  assert.match(gone.out, /does not answer .* each pull loses/);
  assert.equal((await stage.run('uninstall')).code, 0);
  await writeFile(stage.secret, SECRET);
  assert.deepEqual(
    (await describeTree(stage.root)).filter((line) => !line.startsWith('own')),
    before.filter((line) => !line.startsWith('own')),
  );
  assert.match((await stage.run('uninstall')).out, /nothing of ours/);
});

test('noost containerd install for fewer registries takes the agent out of the others', async () => {
  await using stage = await Stage.create();
  await stage.run('install');
  const {out} = await stage.run(
    'install',
    '--registry',
    'ghcr.io',
    '--registry',
    'reg.corp:5000',
    '--order',
    'last',
    '--json',
  );
  const {files} = JSON.parse(out) as {files: {name: string; did: string}[]};
  assert.deepEqual(Object.fromEntries(files.map(({name, did}) => [name, did])), {
    _default: 'removed',
    'ghcr.io': 'unchanged',
    'quay.io': 'restored',
    'reg.corp_5000_': 'written',
  });
  assert.equal(await stage.hosts('quay.io'), 'server = "https://quay.io"\n');
});

test('noost containerd finds all it needs in the configuration of the agent', async () => {
  await using stage = await Stage.create();
  const file = join(stage.root, 'own/noost.yaml');
  await writeFile(
    file,
    JSON.stringify({
      data: join(stage.root, 'own/data'),
      listeners: [{address: '127.0.0.1:5999', secretFile: stage.secret}],
      node: {configure: 'containerd', registries: ['ghcr.io'], order: 'last'},
    }),
  );
  await stage.run('install', '--config', file);
  const text = await stage.hosts('ghcr.io');
  assert.match(text, /^server[^]*127\.0\.0\.1:5999[^]*0123456789abcdef0123/);
  assert.equal(await stage.hosts('_default'), '');
  await writeFile(file, 'node: {configure: yes}\n');
  const wrong = await stage.run('status', '--config', file);
  assert.equal(wrong.code, 1);
  assert.match(wrong.err, /node\.configure .*expected none, containerd/);
});

test('noost containerd print says what to write, for each runtime', async () => {
  await using stage = await Stage.create();
  const secret = ['--secret-file', stage.secret];
  assert.match(
    (await stage.run('print')).out,
    /# \/etc\/containerd\/certs\.d\/_default\/hosts\.toml\n\[host\."http:\/\/127\.0\.0\.1:5055"\][^]*config_path/,
  );
  assert.match(
    (await stage.run('print', '--runtime', 'crio', ...secret)).out,
    /prefix = "quay\.io"[^]*noost-secret-what-the-secret-file-holds\/quay\.io/,
  );
  assert.match(
    (await stage.run('print', '--runtime', 'k3s', '--registry', 'ghcr.io', ...secret)).out,
    /mirrors:\n {2}"ghcr\.io":\n {4}endpoint:\n {6}- "http:[^\n]*\/v2"\n/,
  );
});

for (const [what, words, code, message] of [
  ['an action that is none', ['frob'], 2, /expected install or uninstall/],
  ['no action', [], 2, /<action> is missing/],
  ['a runtime that is none', ['install', '--runtime', 'docker'], 2, /--runtime: expected containerd or crio/],
  ['an https URL', ['install', '--url', 'https://a'], 2, /--url: expected http:\/\/HOST:PORT/],
  ['a URL with a path', ['install', '--url', 'http://a:1/v2'], 2, /--url: expected/],
  ['a registry that is none', ['install', '--registry', 'a/b'], 2, /--registry: expected a registry/],
  ['a secret that is not there', ['install', '--secret-file', '/nowhere/secret'], 1, /ENOENT/],
  ['an agent configuration that is not there', ['doctor', '--config', '/nowhere/noost.yaml'], 1, /noost\.yaml/],
] as const) {
  test(`noost containerd refuses ${what}`, async () => {
    await using stage = await Stage.create();
    const ended = await stage.run(...words);
    assert.deepEqual([ended.code, ended.out], [code, '']);
    assert.match(ended.err, message);
  });
}

test('noost containerd install ends with 1 where nothing names the agent afterwards', async () => {
  await using stage = await Stage.create();
  for (const words of [
    ['--certs-dir', '/opt/no/such/folder'],
    ['--runtime', 'crio'],
    ['--runtime', 'rke2'],
  ]) {
    const before = await describeTree(stage.root);
    const ended = await stage.run('install', ...words);
    assert.equal(ended.code, 1);
    assert.match(ended.out, /left alone: there is no /);
    assert.deepEqual(await describeTree(stage.root), before);
  }
});
