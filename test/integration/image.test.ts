import assert from 'node:assert/strict';
import {cp, mkdir, mkdtemp, readFile, rm, symlink} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {suite, test, type TestContext} from 'node:test';
import {build} from '../../image/build.ts';
import {buildImage} from '../../image/image.ts';
import {needs} from '../needs.ts';
import {makeBaseImages} from '../peers/base-image.ts';
import {run} from '../peers/run.ts';

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
    const folder = await mkdtemp(join(tmpdir(), 'noost-image-'));
    const storage = ['--root', `${folder}/images`, '--runroot', `${folder}/run`, '--storage-driver', 'overlay'];
    t.after(async () => {
      await run('buildah', [...storage, 'rm', '--all']);
      await run('umount', ['--recursive', `${folder}/images/overlay`]).catch(() => {}); // not mounted if it came to nothing
      await rm(folder, {recursive: true, force: true});
    });
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
});
