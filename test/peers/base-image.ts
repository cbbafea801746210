import {copyFile, mkdir, readFile, writeFile} from 'node:fs/promises';
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
/** What images call a processor → what npm calls it. */
const CPUS: Readonly<Record<string, string>> = {amd64: 'x64', arm64: 'arm64'};

/**
 * Makes both out of Debian packages and the Node that npm brought, in buildah's storage.
 * @param storage buildah's flags that say where it keeps images.
 * @param arch as images name it. @default this machine's
 */
export async function makeBaseImages(folder: string, storage: readonly string[], arch?: string): Promise<BaseImages> {
  const platform = arch === undefined ? [] : [`--arch=${arch}`];
  await mkdir(folder, {recursive: true});
  const env = {...process.env, SOURCE_DATE_EPOCH: EPOCH};
  const root = async (name: string, packages: string): Promise<string> => {
    const tar = join(folder, `${name}.tar`);
    const dpkg = ['path-exclude=/usr/share/man/*', 'path-exclude=/usr/share/locale/*'].map((one) => `--dpkgopt=${one}`);
    const words = ['--quiet', '--mode=root', '--variant=extract', ...platform, `--include=${packages}`, ...dpkg];
    await run('mmdebstrap', [...words, 'bookworm', tar], {env, timeoutMs: 300_000});
    return tar;
  };
  await root('base', PACKAGES);
  await root('node', `${PACKAGES},libatomic1`);
  const program = await nodeFor(CPUS[arch ?? ''] ?? process.arch, folder);
  await mkdir(dirname(join(folder, 'usr/local/bin/node')), {recursive: true});
  await copyFile(program, join(folder, 'usr/local/bin/node'));
  await writeFile(join(folder, 'base.Dockerfile'), 'FROM scratch\nADD base.tar /\n');
  await writeFile(
    join(folder, 'node.Dockerfile'),
    'FROM scratch\nADD node.tar /\nCOPY usr/local/bin/node /usr/local/bin/node\n',
  );
  for (const name of ['base', 'node']) {
    const flags = ['--isolation', 'chroot', '--quiet', '--timestamp', EPOCH, '-f', join(folder, `${name}.Dockerfile`)];
    await run('buildah', [...storage, 'build', ...platform, ...flags, '-t', `localhost/noost-test-${name}`, folder], {
      timeoutMs: 300_000,
    });
  }
  return {base: 'localhost/noost-test-base', node: 'localhost/noost-test-node'};
}

/** The Node that npm has for a processor: this checkout's, or one that is fetched for this once. */
async function nodeFor(cpu: string, folder: string): Promise<string> {
  const name = `node-linux-${cpu}`;
  if (cpu === process.arch) return join(CHECKOUT, 'node_modules', name, 'bin/node');
  const {optionalDependencies} = JSON.parse(await readFile(join(CHECKOUT, 'package.json'), 'utf8')) as {
    optionalDependencies: Record<string, string>;
  };
  const packed = ['pack', `${name}@${optionalDependencies[name] ?? ''}`, '--silent', '--pack-destination', folder];
  const file = (await run('npm', packed, {cwd: folder, timeoutMs: 300_000})).toString().trim();
  await run('tar', ['-xzf', join(folder, file), '-C', folder, 'package/bin/node']);
  return join(folder, 'package/bin/node');
}
