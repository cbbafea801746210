import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {createServer, type AddressInfo} from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {after, before, test} from 'node:test';
import {UpstreamError} from '../../oci/error.ts';
import {SOCKET_NAME} from '../api/socket.ts';
import {ApiRig, DIGEST, newImage, OTHER, PULLED} from '../api/rig.ts';

const CLI = join(import.meta.dirname, '../../proc/cli.ts');

interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

let folder = '';
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'noost-'));
});
after(() => rm(folder, {recursive: true}));

function start(words: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('NOOST_')));
  const child = spawn(process.execPath, [CLI, ...words], {
    cwd: folder,
    env: {...own, ...env},
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = {out: '', err: ''};
  child.stdout.on('data', (chunk: Buffer) => (said.out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said.err += chunk.toString()));
  const outcome = once(child, 'close').then(([code]): Outcome => ({code: code as number | null, ...said}));
  return {child, outcome};
}

async function run(words: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return start(words, env).outcome;
}

test('noost ls shows a table of all pages, or JSON', async () => {
  await using rig = await ApiRig.start();
  rig.images = [newImage('3'), newImage(DIGEST)];
  const table = await run(['ls', 'alp', '--data', rig.folder]);
  assert.deepEqual(rig.asked, ['images {"limit":1000,"match":"alp"}']);
  const [head = '', first = '', second = ''] = table.out.split('\n');
  assert.match(head, /^IMAGE +DIGEST +SIZE {2}STATE +USED$/);
  assert.match(first, /^docker\.io\/library\/alpine:3 +sha256:a{12} {2} 5 B {2}complete +\d+ d ago$/);
  assert.match(second, /^docker\.io\/library\/alpine@sha256:a{12} /);
  const json = await run(['ls', '--json'], {NOOST_DATA: rig.folder});
  assert.deepEqual((JSON.parse(json.out) as {images: unknown[]}).images.length, 2);
  rig.images = [];
  assert.deepEqual(await run(['ls', '--data', rig.folder]), {code: 0, out: '', err: 'The cache is empty\n'});
});

test('noost du says how full the cache is; the configuration file says where it is', async () => {
  await using rig = await ApiRig.start();
  await writeFile(join(folder, 'noost.yaml'), `data: ${rig.folder}\n`);
  const {out} = await run(['du', '--config', 'noost.yaml']);
  assert.equal(
    out,
    'Cache       4 B of 6 B (67 %)\nOn its way  5 B\nDisk free   7 B\nHolds       3 tags, 2 manifests, 1 blobs\n',
  );
  assert.equal((JSON.parse((await run(['du', '--json'], {NOOST_CONFIG: 'noost.yaml'})).out) as {tags: number}).tags, 3);
});

test('noost rm removes what is there, and exits with 4 for what is not', async () => {
  await using rig = await ApiRig.start();
  assert.equal(
    (await run(['rm', 'alpine:3', '--data', rig.folder])).out,
    'Removed docker.io/library/alpine:3: 42 B freed\n',
  );
  assert.deepEqual(await run(['rm', 'alpine:4', '--data', rig.folder]), {
    code: 4,
    out: '',
    err: 'noost: Not in the cache: docker.io/library/alpine:4\n',
  });
  assert.deepEqual(rig.asked, ['remove docker.io/library/alpine 3']);
});

test('noost refresh says what changed', async () => {
  await using rig = await ApiRig.start();
  const {out} = await run(['refresh', 'alpine:3', '--data', rig.folder]);
  assert.equal(out, `docker.io/library/alpine:3\n  was: ${OTHER}\n  now: ${DIGEST}\n`);
  rig.refresh = () => Promise.reject(new UpstreamError('down', 'docker.io', 'docker.io cannot be reached'));
  assert.deepEqual(await run(['refresh', 'alpine:3', '--data', rig.folder]), {
    code: 1,
    out: '',
    err: 'noost: docker.io cannot be reached\n',
  });
});

test('noost pull shows lines where there is no terminal, and the sum', async () => {
  await using rig = await ApiRig.start();
  rig.pull = (_request, onEvent) => {
    onEvent({event: 'resolved', digest: DIGEST, platforms: ['linux/arm64'], blobs: 1, totalBytes: 10});
    onEvent({event: 'progress', doneBlobs: 0, doneBytes: 5});
    onEvent({event: 'blob', digest: OTHER, sizeBytes: 10, source: 'upstream'});
    return Promise.resolve(PULLED);
  };
  const {code, out, err} = await run([
    'pull',
    'alpine',
    '-p',
    'linux/arm64',
    '--platform',
    'linux/amd64',
    '--data',
    rig.folder,
  ]);
  assert.equal(code, 0);
  assert.equal(err, `Pulling docker.io/library/alpine:latest for linux/arm64\nsha256:bbbbbbbbbbbb  10 B  fetched\n`);
  assert.equal(
    out,
    `Pulled docker.io/library/alpine:latest\n  ${DIGEST}\n  1 blobs, 10 B: 4 B fetched, 6 B were here; every digest verified\n`,
  );
  assert.deepEqual(rig.asked, ['pull docker.io/library/alpine latest linux/arm64,linux/amd64']);
  const json = await run(['pull', 'alpine', '--all-platforms', '--json', '--data', rig.folder]);
  assert.deepEqual(
    json.out
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as {event: string}).event),
    ['resolved', 'progress', 'blob', 'done'],
  );
});

test('Ctrl-C stops noost pull, and with it the agent', async () => {
  await using rig = await ApiRig.start();
  const [began, stopped] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  rig.pull = (_request, onEvent, signal) => {
    onEvent({event: 'resolved', digest: DIGEST, platforms: [], blobs: 1, totalBytes: 10});
    began.resolve();
    return new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        stopped.resolve();
        reject(signal.reason as Error);
      });
    });
  };
  const {child, outcome} = start(['pull', 'alpine', '--data', rig.folder]);
  await began.promise;
  await once(child.stderr, 'data');
  child.kill('SIGINT');
  await stopped.promise;
  const {code, err} = await outcome;
  assert.equal(code, 130);
  assert.match(err, /Stopped; what has arrived stays\n$/);
});

test('where no agent runs, every command says which socket was tried and what to do', async () => {
  for (const words of [['ls'], ['du'], ['rm', 'a'], ['refresh', 'a'], ['pull', 'a']]) {
    const {code, out, err} = await run([...words, '--data', 'none']);
    assert.deepEqual([code, out], [3, ''], words.join(' '));
    assert.ok(err.startsWith(`noost: No agent answers at ${join(folder, 'none', SOCKET_NAME)} (ENOENT)\n`), err);
    assert.match(err, /Start one with: noost agent\n.*--data DIR, NOOST_DATA or --config FILE/);
  }
});

const MISUSED: readonly (readonly [words: readonly string[], code: number, err: RegExp])[] = [
  [['agnet'], 2, /There is no command "agnet"; did you mean agent\?/],
  [['ls', '--jsn'], 2, /There is no flag --jsn; did you mean --json\?/],
  [['ls', '-x'], 2, /There is no flag -x/],
  [['ls', 'a', 'b'], 2, /What is "b"\?/],
  [['rm'], 2, /<image> is missing/],
  [['rm', 'UPPER'], 2, /Not an image name/],
  [['du', '--data'], 2, /data/],
  [['du', '--data', 'a', '--data', 'b'], 2, /--data is there twice/],
  [['du', '--json=maybe'], 2, /--json: expected true or false/],
  [['pull', 'a', '-p', 'linux/arm64', '--all-platforms'], 2, /not both/],
  [['completion', 'fish'], 2, /<shell>: expected bash or zsh/],
  [[], 2, /Usage: noost <command>/],
  [['--lisen'], 2, /There is no flag --lisen/],
  [
    ['agent', '--check', '--cache-size', 'x', '--log-level', 'y'],
    1,
    /2 errors:\n {2}log.level \(--log-level\): expected.*\n?[^]*cache.maxSize \(--cache-size\): expected a size|2 errors:\n {2}cache.maxSize[^]*log.level/,
  ],
  [['agent', '--check', '--config', 'none.yaml'], 1, /none.yaml: the configuration file cannot be read \(ENOENT\)/],
];

for (const [words, code, err] of MISUSED) {
  test(`noost ${words.join(' ')} is refused with ${String(code)}`, async () => {
    const outcome = await run(words);
    assert.match(outcome.err, err);
    assert.deepEqual([outcome.code, outcome.out], [code, '']);
  });
}

test('noost agent --check prints what would be in effect', async () => {
  const {code, out, err} = await run(['agent', '--check', '--cache-size', '5GB', '--any-local-process'], {
    NOOST_DRAIN: '1m',
  });
  assert.deepEqual([code, err], [0, '']);
  assert.match(out, /anyLocalProcess: true[^]*maxSize: 5GB[^]*drain: 1m/);
});

test('an agent that cannot run says why, without a stack', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  const {code, err} = await run(['agent', '--admin-listen', address, '--listen', '127.0.0.1:0', '--data', 'own']);
  server.close();
  assert.equal(code, 1);
  assert.match(err, /^noost: The agent cannot run: .*EADDRINUSE.*\n.*--listen or --admin-listen\n$/);
});

test('help names every command and every setting', async () => {
  const [all, agent] = await Promise.all([run(['--help']), run(['agent', '--help'])]);
  for (const name of ['agent', 'ls', 'du', 'pull', 'refresh', 'rm', 'completion', 'Exit codes', '--version'])
    assert.ok(all.out.includes(name), name);
  for (const name of [
    '--listen ',
    '--cache-max-idle',
    '--upstreams',
    '--check',
    'NOOST_CACHE_MAX_SIZE',
    'default: 30d',
  ])
    assert.ok(agent.out.includes(name), name);
  assert.deepEqual([all.code, agent.code], [0, 0]);
});

test('bash completes commands, flags and their values', async () => {
  const complete = async (...words: string[]): Promise<string[]> =>
    (await run(['__complete', ...words])).out.split('\n').filter((line) => line !== '');
  assert.deepEqual(await complete('p'), ['pull']);
  assert.deepEqual(await complete('agent', '--cache-m'), [
    '--cache-max-size',
    '--cache-min-free-disk',
    '--cache-max-idle',
  ]);
  assert.deepEqual(await complete('agent', '--log-format', ''), ['json', 'text', 'auto']);
  assert.deepEqual(await complete('completion', 'z'), ['zsh']);
  assert.deepEqual(await complete('agent', '--data', ''), []);
  assert.match((await run(['completion', 'zsh'])).out, /^#compdef noost/);
});
