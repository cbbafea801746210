import {execFileSync} from 'node:child_process';
import {chmod, copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {basename, join, relative} from 'node:path';
import process from 'node:process';
import {parseArgs} from 'node:util';
import {productionPackages, type LockedPackage} from './lock-file.ts';
import {newSbom} from './sbom.ts';

/**
 * `npm run build`: `dist/package`, which is what a published package holds (JavaScript, no types to strip), and
 * `dist/linux-amd64` or `dist/linux-arm64`, which has the production dependencies beside it and is what the image
 * holds. Nothing in it depends on the time or on this machine.
 */
const CHECKOUT = join(import.meta.dirname, '..');
const DIST = join(CHECKOUT, 'dist');
/** npm's name of a processor → the one that images use. */
const ARCHITECTURES: Readonly<Record<string, string>> = {x64: 'amd64', arm64: 'arm64'};

/** What a program never reads. Licences stay. */
const LEFT_OUT = /\.(?:cc?|hh?|s|asm|d\.[cm]?ts|ts|[cm]ts|map|md|markdown|flow|tsbuildinfo|yml)$/i;
const LEFT_OUT_FOLDERS = new Set([
  'test',
  'tests',
  '__tests__',
  'docs',
  'example',
  'examples',
  'benchmark',
  'benchmarks',
  '.github',
  'man',
]);

interface PackageJson {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly description: string;
  readonly type: string;
  readonly dependencies: Record<string, string>;
  readonly engines: Record<string, string>;
}

async function buildPackage(folder: string): Promise<PackageJson> {
  const manifest = JSON.parse(await readFile(join(CHECKOUT, 'package.json'), 'utf8')) as PackageJson; // our own file
  await rm(folder, {recursive: true, force: true});
  execFileSync(join(CHECKOUT, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json', '--outDir', folder], {
    cwd: CHECKOUT,
    stdio: 'inherit',
  });
  const {name, version, license, description, type, dependencies, engines} = manifest;
  const published = {name, version, description, license, type, bin: {noost: 'noost.js'}, engines, dependencies};
  await writeFile(join(folder, 'package.json'), `${JSON.stringify(published, undefined, 2)}\n`);
  await writeFile(join(folder, 'noost.js'), launcher('/usr/bin/env node'));
  for (const file of ['LICENSE', 'README.md', 'CHANGELOG.md']) await copyFile(join(CHECKOUT, file), join(folder, file));
  return manifest;
}

/**
 * The command of the package. What `noost-node` sets in a checkout counts from the agent's `execve` on (agent/handover.ts);
 * in the image it is in the environment.
 */
function launcher(node: string): string {
  return [
    `#!${node}`,
    `import {runProgram} from './proc/cli.js';`,
    `process.env.UV_THREADPOOL_SIZE ??= '16';`,
    `process.env.MALLOC_ARENA_MAX ??= '2';`,
    `await runProgram();`,
    '',
  ].join('\n');
}

async function buildForImage(packageFolder: string, manifest: PackageJson, cpu: string): Promise<string> {
  const folder = join(DIST, `linux-${ARCHITECTURES[cpu] ?? cpu}`);
  await rm(folder, {recursive: true, force: true});
  await cp(packageFolder, folder, {recursive: true});
  // The image has no `env` and one place for Node. `kubectl exec … -- noost ls` finds the link in its PATH.
  await writeFile(join(folder, 'noost.js'), launcher('/usr/local/bin/node'));
  await mkdir(join(folder, 'bin'));
  await symlink('../noost.js', join(folder, 'bin/noost'));
  const packages = productionPackages(join(CHECKOUT, 'package-lock.json'), cpu);
  await using installed = await installedFor(cpu);
  for (const locked of packages) await copyPackage(join(installed.path, locked.path), join(folder, locked.path), cpu);
  await writeFile(join(folder, 'sbom.cdx.json'), newSbom(manifest, packages));
  await writeFile(join(folder, 'LICENSES'), await licences(installed.path, packages));
  await setModes(folder);
  return folder;
}

/** The checkout's own packages, or those of another processor, installed for this once. */
async function installedFor(cpu: string): Promise<{readonly path: string} & AsyncDisposable> {
  if (cpu === process.arch) return {path: CHECKOUT, [Symbol.asyncDispose]: async () => {}};
  const path = await mkdtemp(join(tmpdir(), 'noost-build-'));
  for (const file of ['package.json', 'package-lock.json']) await copyFile(join(CHECKOUT, file), join(path, file));
  const flags = [
    '--omit=dev',
    '--ignore-scripts',
    '--os=linux',
    `--cpu=${cpu}`,
    '--libc=glibc',
    '--no-audit',
    '--no-fund',
  ];
  execFileSync('npm', ['ci', ...flags], {cwd: path, stdio: 'inherit'});
  return {path, [Symbol.asyncDispose]: async () => await rm(path, {recursive: true, force: true})};
}

async function copyPackage(from: string, to: string, cpu: string): Promise<void> {
  await cp(from, to, {
    recursive: true,
    dereference: true,
    filter: (source) => {
      const path = relative(from, source);
      if (path === '') return true;
      const [first = ''] = path.split('/');
      if (LEFT_OUT_FOLDERS.has(first) || path.split('/').includes('node_modules') || LEFT_OUT.test(path)) return false;
      // Programs for other machines.
      const [, platform] = /(?:^|\/)prebuilds\/([^/]+)/.exec(path) ?? [];
      return platform === undefined || platform === `linux-${cpu}`;
    },
  });
}

/** The licence texts of everything in the image, which copying it requires. */
async function licences(root: string, packages: readonly LockedPackage[]): Promise<string> {
  const texts: string[] = [];
  for (const {path, name, version, license} of packages) {
    const files = (await readdir(join(root, path)))
      .filter((file) => /^(?:licen[cs]e|notice|copying)/i.test(file))
      .toSorted();
    const parts = await Promise.all(files.map(async (file) => await readFile(join(root, path, file), 'utf8')));
    texts.push(
      `${name} ${version} (${license ?? 'see its text'})\n\n${parts.map((text) => text.trim()).join('\n\n')}\n`,
    );
  }
  return texts.join(`\n${'-'.repeat(80)}\n\n`);
}

/** Readable by all, writable by nobody but root, whatever this machine's umask is. */
async function setModes(folder: string): Promise<void> {
  for (const entry of await readdir(folder, {recursive: true, withFileTypes: true})) {
    if (entry.isSymbolicLink()) continue;
    const path = join(entry.parentPath, entry.name);
    const isProgram = entry.isDirectory() || basename(path) === 'noost.js';
    await chmod(path, isProgram ? 0o755 : 0o644);
  }
  await chmod(folder, 0o755);
}

/** Builds both and says where they are. @returns the folder for the image. */
export async function build(cpu: string = process.arch): Promise<string> {
  await mkdir(DIST, {recursive: true});
  const packageFolder = join(DIST, 'package');
  const manifest = await buildPackage(packageFolder);
  return await buildForImage(packageFolder, manifest, cpu);
}

if (import.meta.main) {
  const {values} = parseArgs({options: {cpu: {type: 'string', default: process.arch}}});
  if (!Object.hasOwn(ARCHITECTURES, values.cpu)) {
    process.stderr.write(`build: --cpu: expected ${Object.keys(ARCHITECTURES).join(' or ')}\n`);
    process.exitCode = 2;
  } else process.stdout.write(`${await build(values.cpu)}\n`);
}
