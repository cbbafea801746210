import assert from 'node:assert/strict';
import {
  copyFile,
  cp,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  realpath,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join, resolve} from 'node:path';
import {suite, test, type TestContext} from 'node:test';
import {build} from '../../image/build.ts';
import {buildImage} from '../../image/image.ts';
import {FakeRegistry} from '../fake-registry.ts';
import {freePort} from '../free-port.ts';
import {needs} from '../needs.ts';
import {makeBaseImages} from '../peers/base-image.ts';
import {Child} from '../peers/child.ts';
import {DockerRegistry} from '../peers/docker-registry.ts';
import {run} from '../peers/run.ts';
import {assertPullsRight, configFor} from '../whole-pull.ts';

const CHECKOUT = join(import.meta.dirname, '../..');
const ARCH = process.arch === 'x64' ? 'amd64' : process.arch;

async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'noost-image-'));
  t.after(async () => await rm(folder, {recursive: true, force: true}));
  return folder;
}

// One after the other: they write the same dist/.
suite('the published package and the image', () => {
  test('the package is JavaScript: it runs under node_modules, where no Node strips types', async (t) => {
    const folder = await temporary(t);
    const built = await build();
    const home = join(folder, 'node_modules/noost');
    await mkdir(join(folder, 'node_modules'));
    await cp(join(built, '../package'), home, {recursive: true});
    await symlink(join(built, 'node_modules'), join(home, 'node_modules'));
    const env = {PATH: process.env['PATH'] ?? ''};
    const noost = async (...words: string[]): Promise<string> =>
      (
        await run(process.execPath, ['--no-strip-types', join(home, 'noost.js'), ...words], {cwd: folder, env})
      ).toString();
    const {version} = JSON.parse(await readFile(join(home, 'package.json'), 'utf8')) as {version: string};
    assert.equal(await noost('--version'), `${version}\n`);
    assert.match(await noost('agent', '--check'), /^listeners:/m);
    for (const file of ['LICENSE', 'README.md']) assert.ok((await readFile(join(home, file))).length > 100);
  });

  test('built twice it is the same image; it runs without root and with a root that may do nothing', async (t) => {
    if (!needs(t, 'root', 'buildah', 'mmdebstrap', 'setpriv')) return;
    const {folder, storage} = await newStorage(t);
    const {base, node} = await makeBaseImages(join(folder, 'base'), storage);
    const once = await buildImage({tag: 'localhost/noost:once', arch: ARCH, base, node, storage});
    const twice = await buildImage({tag: 'localhost/noost:twice', arch: ARCH, base, node, storage});
    assert.equal(twice, once);

    const buildah = async (...words: string[]): Promise<string> =>
      (await run('buildah', [...storage, ...words])).toString().trim();
    const container = await buildah('from', 'localhost/noost:once');
    const mounted = await buildah('mount', container);
    const inside = async (user: string, ...words: string[]): Promise<string> =>
      await buildah('run', '--isolation', 'chroot', '--cap-drop', 'all', '--user', user, container, '--', ...words);
    assert.match(await inside('65532:65532', 'noost', 'agent', '--check'), /adminListen/);
    assert.match(await inside('0:0', 'noost', 'agent', '--check'), /adminListen/);
    const config = JSON.parse(await buildah('inspect', '--type', 'image', 'localhost/noost:once')) as {
      OCIv1: {config: {User: string; Entrypoint: string[]}};
    };
    assert.equal(config.OCIv1.config.User, '65532:65532');

    const writable = await run('find', [
      `${mounted}/opt/noost`,
      '(',
      '-perm',
      '/022',
      '-o',
      '!',
      '-uid',
      '0',
      ')',
      '!',
      '-type',
      'l',
    ]);
    assert.equal(writable.toString(), '', 'nobody but root may change the program');
    const sources = await run('find', [`${mounted}/opt/noost`, '-name', '*.ts', '-o', '-name', 'node-linux-*']);
    assert.equal(sources.toString(), '');
    const shells = await run('find', [mounted, '!', '-type', 'd', '-regex', '.*/\\(sh\\|bash\\|apt\\|dpkg\\|npm\\)']);
    assert.equal(shells.toString(), '', 'no shell, no package manager');
    const bill = JSON.parse(await readFile(`${mounted}/opt/noost/sbom.cdx.json`, 'utf8')) as {components: object[]};
    assert.ok(bill.components.length > 50);
  });

  // Under emulation, and in the image's own root: no machine of that kind is at hand.
  test('for arm64 it is the same program with what belongs to that processor, and it serves', async (t) => {
    if (process.arch !== 'x64') return t.skip('for machines of the other kind');
    if (!needs(t, 'root', 'buildah', 'mmdebstrap', 'unshare', 'qemu-aarch64-static', 'skopeo', 'docker-registry'))
      return;
    const {storage, folder} = await newStorage(t);
    const {base, node} = await makeBaseImages(join(folder, 'base'), storage, 'arm64');
    await buildImage({tag: 'localhost/noost:arm64', arch: 'arm64', base, node, storage});
    const buildah = async (...words: string[]): Promise<string> =>
      (await run('buildah', [...storage, ...words])).toString().trim();
    const {OCIv1} = JSON.parse(await buildah('inspect', '--type', 'image', 'localhost/noost:arm64')) as {
      OCIv1: {architecture: string; config: {Env: string[]}};
    };
    assert.equal(OCIv1.architecture, 'arm64');
    await assertOneNameForBoth(folder, storage);
    const root = await buildah('mount', await buildah('from', '--arch', 'arm64', 'localhost/noost:arm64'));

    const files = async (path: string): Promise<string[]> => (await readdir(path, {recursive: true})).toSorted();
    const ours = await files(join(root, 'opt/noost'));
    await build();
    const here = (await files(join(CHECKOUT, 'dist/linux-amd64'))).map((name) =>
      name.replace(/(?<=(?:linux|musl)[-_])x64/g, 'arm64'),
    );
    assert.deepEqual(ours, here.toSorted());
    const programs = [join(root, 'usr/local/bin/node'), ...ours.filter((name) => name.endsWith('.node'))];
    assert.ok(programs.length > 1);
    for (const name of programs) assert.equal(await processorOf(resolve(root, 'opt/noost', name)), 'arm64', name);

    await copyFile(await realpath('/usr/bin/qemu-aarch64-static'), join(root, 'usr/bin/qemu'));
    const inside = (...words: string[]): readonly string[] => {
      const mounts = `mount -t proc proc ${root}/proc && mount --rbind /dev ${root}/dev`;
      // execve(2) of a foreign program is the kernel's, which does not know of the emulator.
      const node = ['/usr/bin/qemu', '/usr/local/bin/node', '--import=data:text/javascript,process.execve=undefined'];
      const chroot = ['env', '-i', ...OCIv1.config.Env, '/usr/sbin/chroot', root, ...node, '/opt/noost/noost.js'];
      return ['--mount', 'sh', '-c', `${mounts} && exec "$@"`, 'sh', ...chroot, ...words];
    };
    const {version} = JSON.parse(await readFile(join(CHECKOUT, 'package.json'), 'utf8')) as {version: string};
    assert.equal((await run('unshare', inside('--version'))).toString(), `${version}\n`);

    await using registry = await FakeRegistry.start();
    const image = registry.content.addImage('app', 'v1', ['a layer', 'x'.repeat(3_000_000)]);
    await mkdir(join(root, 'etc/noost'));
    const settings = {...configFor(registry).config, data: '/var/noost', adminListen: '127.0.0.1:0'};
    const [address, file] = [`127.0.0.1:${String(await freePort())}`, '/etc/noost/agent.yaml'];
    await writeFile(join(root, file), JSON.stringify(settings));
    await using agent = new Child('unshare', inside('agent', '--config', file, '--listen', address));
    await agent.untilReady(() => agent.lines.some((line) => line.includes('ready on')), 120_000);
    await assertPullsRight({address}, image); // from the registry
    await assertPullsRight({address}, image); // from the disk
    assert.equal(registry.requests.filter(({url}) => url.includes('/blobs/')).length, image.layers.length + 1);
    assert.ok(!agent.lines.some((line) => line.includes('"level":"warn"')), agent.tail());
  });
});

/**
 * As docs/kubernetes.md says: a name for both processors, pushed whole; each machine finds its own, and the digest to write
 * into manifests/version is that of the index.
 */
async function assertOneNameForBoth(folder: string, storage: readonly string[]): Promise<void> {
  const bases = await makeBaseImages(join(folder, 'base-amd64'), storage, 'amd64');
  await buildImage({tag: 'localhost/noost:amd64', arch: 'amd64', ...bases, storage});
  await using registry = await DockerRegistry.start({folder: join(folder, 'registry')});
  const name = `${registry.address}/noost:0.1.0`;
  const buildah = async (...words: string[]): Promise<Buffer> => await run('buildah', [...storage, ...words]);
  await buildah('manifest', 'create', name, 'localhost/noost:amd64', 'localhost/noost:arm64');
  await buildah('manifest', 'push', '--all', '--format', 'oci', '--tls-verify=false', name, `docker://${name}`);
  const inspect = async (...words: string[]): Promise<unknown> =>
    JSON.parse((await run('skopeo', ['inspect', '--tls-verify=false', ...words, `docker://${name}`])).toString());
  const index = (await inspect('--raw')) as {mediaType: string; manifests: {platform: object}[]};
  assert.equal(index.mediaType, 'application/vnd.oci.image.index.v1+json');
  assert.deepEqual(
    index.manifests.map(({platform}) => platform),
    ['amd64', 'arm64'].map((architecture) => ({architecture, os: 'linux'})),
  );
  for (const architecture of ['amd64', 'arm64']) {
    const global = [`--override-arch=${architecture}`, 'inspect', '--tls-verify=false', '--config', `docker://${name}`];
    const config = JSON.parse((await run('skopeo', global)).toString()) as {architecture: string};
    assert.equal(config.architecture, architecture);
  }
}

/** Where buildah keeps images for one test. */
async function newStorage(t: TestContext): Promise<{readonly folder: string; readonly storage: readonly string[]}> {
  const folder = await mkdtemp(join(tmpdir(), 'noost-image-'));
  const storage = ['--root', `${folder}/images`, '--runroot', `${folder}/run`, '--storage-driver', 'overlay'];
  t.after(async () => {
    await run('buildah', [...storage, 'rm', '--all']);
    await run('umount', ['--recursive', `${folder}/images/overlay`]).catch(() => {}); // not mounted if it came to nothing
    await rm(folder, {recursive: true, force: true});
  });
  return {folder, storage};
}

/** What an ELF file is for. @see the ELF specification: `e_machine` is at 18. */
async function processorOf(path: string): Promise<string | undefined> {
  await using file = await open(path);
  const {buffer} = await file.read(Buffer.alloc(20), 0, 20, 0);
  return new Map([
    [62, 'amd64'],
    [183, 'arm64'],
  ]).get(buffer.readUInt16LE(18));
}
