import {copyFile, mkdir, writeFile} from 'node:fs/promises';
import {dirname, join} from 'node:path';
import {run} from './run.ts';

/** Names of images that the Dockerfile builds on, where no registry can be asked for the published ones. */
export interface BaseImages {
  readonly base: string;
  readonly node: string;
}

const CHECKOUT = join(import.meta.dirname, '../..');
/** What the published base has: C and C++ libraries, users, time zones. */
const PACKAGES = 'libc6,libstdc++6,libgcc-s1,tzdata,base-files,netbase';
const EPOCH = '1700000000';

/**
 * Makes both out of Debian packages and the Node that npm brought, in buildah's storage.
 * @param storage buildah's flags that say where it keeps images.
 */
export async function makeBaseImages(folder: string, storage: readonly string[]): Promise<BaseImages> {
  await mkdir(folder, {recursive: true});
  const env = {...process.env, SOURCE_DATE_EPOCH: EPOCH};
  const root = async (name: string, packages: string): Promise<string> => {
    const tar = join(folder, `${name}.tar`);
    const dpkg = ['path-exclude=/usr/share/man/*', 'path-exclude=/usr/share/locale/*'].map((one) => `--dpkgopt=${one}`);
    const words = ['--quiet', '--mode=root', '--variant=extract', `--include=${packages}`, ...dpkg, 'bookworm', tar];
    await run('mmdebstrap', words, {env, timeoutMs: 300_000});
    return tar;
  };
  await root('base', PACKAGES);
  await root('node', `${PACKAGES},libatomic1`);
  const program = join(CHECKOUT, `node_modules/node-linux-${process.arch}/bin/node`);
  await mkdir(dirname(join(folder, 'usr/local/bin/node')), {recursive: true});
  await copyFile(program, join(folder, 'usr/local/bin/node'));
  await writeFile(join(folder, 'base.Dockerfile'), 'FROM scratch\nADD base.tar /\n');
  await writeFile(
    join(folder, 'node.Dockerfile'),
    'FROM scratch\nADD node.tar /\nCOPY usr/local/bin/node /usr/local/bin/node\n',
  );
  for (const name of ['base', 'node']) {
    const flags = ['--isolation', 'chroot', '--quiet', '--timestamp', EPOCH, '-f', join(folder, `${name}.Dockerfile`)];
    await run('buildah', [...storage, 'build', ...flags, '-t', `localhost/noost-test-${name}`, folder], {
      timeoutMs: 300_000,
    });
  }
  return {base: 'localhost/noost-test-base', node: 'localhost/noost-test-node'};
}
