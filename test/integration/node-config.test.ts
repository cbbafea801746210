import assert from 'node:assert/strict';
import {mkdtempDisposable, readFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {test} from 'node:test';
import {readContainerdConfig} from '../../agent/node/containerd-config.ts';
import {parseToml, tableAt} from '../../agent/node/toml-text.ts';
import {needs} from '../needs.ts';
import {describeTree, makeTree, type Tree} from '../node-tree.ts';
import {CONTAINERD_2} from '../peers/containerd2.ts';
import {environment} from '../peers/environment.ts';
import {goPrograms} from '../peers/go-program.ts';
import {run} from '../peers/run.ts';

const CRI = 'io.containerd.grpc.v1.cri';
const TRANSFER = 'io.containerd.transfer.v1.local';

/** Configurations of two files, of which a real containerd says what it makes. FOLDER is where they are. */
const OLD: readonly (readonly [what: string, main: string, dropIn: string])[] = [
  ['says nothing', `[plugins."${CRI}".registry]\nconfig_path = "/a"\n`, ''],
  [
    'says another',
    `[plugins."${CRI}".registry]\nconfig_path = "/a"\n`,
    `[plugins."${CRI}".registry]\nconfig_path = "/b"\n`,
  ],
  [
    'says something else of the same plugin',
    `[plugins."${CRI}".registry]\nconfig_path = "/a"\n`,
    `[plugins."${CRI}"]\nsandbox_image = "x"\n`,
  ],
  ['is the only one that says it', '', `[plugins."${CRI}".registry]\nconfig_path = "/b"\n`],
];
const NEW: typeof OLD = OLD.map(([what, ...texts]) => {
  const [main = '', dropIn = ''] = texts.map((text) =>
    text
      .replaceAll(`"${CRI}".registry`, `"${TRANSFER}"`)
      .replaceAll(`"${CRI}"`, `"${TRANSFER}"`)
      .replace('sandbox_image = "x"', 'max_concurrent_downloads = 7'),
  );
  return [what, main, dropIn];
});

/** What a real containerd says that it would use, as TOML. */
async function dump(program: string, folder: string): Promise<ReturnType<typeof parseToml>> {
  const text = await run(program, ['--config', join(folder, 'config.toml'), 'config', 'dump'], {
    env: environment(folder),
  });
  return parseToml(text.toString());
}

function files(version: number, main: string, dropIn: string): Tree {
  return {
    'config.toml': {file: `version = ${String(version)}\nimports = ["FOLDER/d/*.toml"]\n${main}`},
    'd/1.toml': {file: `version = ${String(version)}\n${dropIn}`},
  };
}

async function write(folder: string, tree: Tree): Promise<void> {
  const there = Object.entries(tree).map(
    ([path, entry]) => [path, 'file' in entry ? {file: String(entry.file).replace('FOLDER', folder)} : entry] as const,
  );
  await makeTree(folder, Object.fromEntries(there));
}

for (const [what, main, dropIn] of OLD) {
  test(`readContainerdConfig reads what Debian's containerd does of a drop-in that ${what}`, async (t) => {
    if (!needs(t, 'containerd')) return;
    await using folder = await mkdtempDisposable(join(tmpdir(), 'noost-config-'));
    await write(folder.path, files(2, main, dropIn));
    const real = tableAt(await dump('containerd', folder.path), 'plugins', CRI, 'registry')['config_path'];
    const {criPath = ''} = await readContainerdConfig('/', join(folder.path, 'config.toml'));
    assert.equal(criPath, real);
  });
}

for (const [what, main, dropIn] of NEW) {
  test(`readContainerdConfig reads what containerd 2 does of a drop-in that ${what}`, async (t) => {
    const programs = await goPrograms(t, CONTAINERD_2);
    if (programs === undefined) return;
    await using folder = await mkdtempDisposable(join(tmpdir(), 'noost-config-'));
    await write(folder.path, files(3, main, dropIn));
    const real = tableAt(await dump(join(programs, 'containerd'), folder.path), 'plugins', TRANSFER)['config_path'];
    const {transferPath = ''} = await readContainerdConfig('/', join(folder.path, 'config.toml'));
    assert.equal(transferPath, real);
  });
}

/** As the pod of the manifests, where 1 is what install and doctor end with here: user 0 without any capability, containerd's folder read-only and certs.d in it writable. */
const POD = `set -eu
mkdir -p "$1/pod/etc/containerd"
mount --bind "$1/node/etc/containerd" "$1/pod/etc/containerd"
mount -o remount,bind,ro "$1/pod/etc/containerd"
mount --bind "$1/node/etc/containerd/certs.d" "$1/pod/etc/containerd/certs.d"
setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$2" containerd "$3" --host-root "$1/pod" --json || test $? = 1`;

interface Said {
  readonly files: readonly {readonly name: string; readonly did?: string; readonly why?: string}[];
  readonly problems?: readonly {readonly code: string}[];
}

test('in a pod without capabilities, and with nothing but certs.d to write: install, doctor and uninstall', async (t) => {
  if (!needs(t, 'root', 'unshare', 'setpriv', 'mount')) return;
  await using folder = await mkdtempDisposable(join(tmpdir(), 'noost-pod-'));
  const node = join(folder.path, 'node');
  const certs = 'etc/containerd/certs.d';
  await makeTree(node, {
    'etc/containerd/config.toml': {
      file: `version = 2\n[plugins."${CRI}".registry]\nconfig_path = "/${certs}"\n`,
      mode: 0o600,
    },
    [`${certs}/ghcr.io/hosts.toml`]: {file: 'server = "https://ghcr.io"\n', mode: 0o640},
    [`${certs}/link.corp/hosts.toml`]: {link: '../ghcr.io/hosts.toml'},
    [`${certs}/other.corp/hosts.toml`]: {file: 'server = "https://other.corp"\n', mode: 0o600, owner: 1234},
  });
  const before = await describeTree(node);
  const program = join(dirname(dirname(import.meta.dirname)), 'noost');
  const noost = async (action: string): Promise<Said> => {
    const args = ['--mount', '--propagation', 'private', 'sh', '-c', POD, 'sh', folder.path, program, action];
    const text = await run('unshare', args, {env: environment(folder.path)});
    return JSON.parse(text.toString()) as Said;
  };
  const {files: written} = await noost('install');
  const did = Object.fromEntries(
    written.map(({name, did: what, why = ''}) => [name, `${what ?? ''}${why === '' ? '' : `: ${why}`}`]),
  );
  assert.match(did['other.corp'] ?? '', /^failed: not allowed/);
  assert.deepEqual(
    {...did, 'other.corp': ''},
    {_default: 'written', 'ghcr.io': 'written', 'link.corp': 'unchanged', 'other.corp': ''},
  );
  assert.match(await readFile(join(node, certs, 'ghcr.io/hosts.toml'), 'utf8'), /127\.0\.0\.1:5055/);
  const problems = (await noost('doctor')).problems?.map(({code}) => code) ?? [];
  assert.ok(
    problems.includes('file') && problems.includes('no-agent') && !problems.includes('not-set'),
    problems.join(' '),
  );
  await noost('uninstall');
  assert.deepEqual(await describeTree(node), before);
});

/** As Bottlerocket and Talos have it. */
const READ_ONLY = `set -eu
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
"$2" containerd "$3" --host-root "$1" --json || test $? = 1`;

test('where nothing can be written, install and doctor say so and what to do, and nothing is left behind', async (t) => {
  if (!needs(t, 'root', 'unshare', 'mount')) return;
  await using folder = await mkdtempDisposable(join(tmpdir(), 'noost-ro-'));
  const node = join(folder.path, 'node');
  await makeTree(node, {
    'etc/containerd/config.toml': {
      file: `version = 2\n[plugins."${CRI}".registry]\nconfig_path = "/etc/containerd/certs.d"\n`,
    },
    'etc/containerd/certs.d/ghcr.io/hosts.toml': {file: 'server = "https://ghcr.io"\n'},
  });
  const before = await describeTree(node);
  const program = join(dirname(dirname(import.meta.dirname)), 'noost');
  const noost = async (action: string): Promise<Said> => {
    const args = ['--mount', '--propagation', 'private', 'sh', '-c', READ_ONLY, 'sh', node, program, action];
    return JSON.parse((await run('unshare', args, {env: environment(folder.path)})).toString()) as Said;
  };
  for (const {did, why = ''} of (await noost('install')).files) {
    assert.equal(did, 'failed');
    assert.match(why, /read-only: see noost containerd print/);
  }
  const codes = (await noost('doctor')).problems?.map(({code}) => code) ?? [];
  assert.ok(codes.includes('not-writable') && codes.includes('not-installed'), codes.join(' '));
  assert.deepEqual((await noost('uninstall')).files, []);
  assert.deepEqual(await describeTree(node), before);
});
