import {access, cp, mkdir, mkdtemp, rename, rm, writeFile} from 'node:fs/promises';
import {homedir, tmpdir} from 'node:os';
import {basename, dirname, join} from 'node:path';
import type {TestContext} from 'node:test';
import {run} from './run.ts';

/** Commands of one Go module at one version. */
export interface GoPrograms {
  readonly module: string;
  readonly version: string;
  /** Packages below the module, e.g. `cmd/crane`. */
  readonly packages: readonly string[];
  /** Build tags: what can be left out of a large program. */
  readonly tags?: readonly string[];
  /** Tells two builds of the same program apart. */
  readonly variant?: string;
  /** Path in the module's source → a file that is put there, for a program that the module itself does not have. */
  readonly added?: Readonly<Record<string, string>>;
}

/** A cold build of a large program on a small machine. */
const BUILD_MS = 900_000;

/**
 * Clients that Debian does not have, or only old: built from source by the machine's Go and kept in the user's cache
 * folder. Where that cannot be (no Go, too old a Go, no module proxy) the test is skipped and says why, also under CI:
 * a bare machine has no Go.
 * @returns the folder that the programs are in; `undefined` if the test was skipped.
 */
export async function goPrograms(t: TestContext, wanted: GoPrograms): Promise<string | undefined> {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  const name = `${basename(wanted.module)}-${basename(wanted.packages[0] ?? '')}-${wanted.version}${wanted.variant ?? ''}`;
  const folder = join(cache, 'noost-test', name);
  const programs = wanted.packages.map((path) => join(folder, basename(path)));
  try {
    await Promise.all(programs.map((path) => access(path)));
    return folder;
  } catch {
    // Not built yet.
  }
  try {
    await build(wanted, folder);
    return folder;
  } catch (error) {
    const [why = ''] = (error as Error).message.split('\n', 1);
    t.skip(`${name} cannot be built here: ${why}`);
    return undefined;
  }
}

/**
 * The source of a Go module, for files that are not programs. Where it cannot be had the test is skipped and says why.
 * @returns the folder, which is read-only.
 */
export async function goModule(t: TestContext, module: string, version: string): Promise<string | undefined> {
  try {
    return await download(module, version);
  } catch (error) {
    const [why = ''] = (error as Error).message.split('\n', 1);
    t.skip(`${module}@${version} cannot be had here: ${why}`);
    return undefined;
  }
}

async function download(module: string, version: string): Promise<string> {
  const found = await run('go', ['mod', 'download', '-json', `${module}@${version}`], {cwd: tmpdir()});
  return (JSON.parse(found.toString()) as {Dir: string}).Dir;
}

/** `go install` refuses a module whose go.mod excludes versions, as containerd's does: so in a copy of its source. */
async function build({module, version, packages, tags = [], added = {}}: GoPrograms, folder: string): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'noost-go-'));
  try {
    const source = join(work, 'source');
    await cp(await download(module, version), source, {recursive: true});
    await run('chmod', ['-R', 'u+w', source]); // the module cache is read-only
    for (const [path, text] of Object.entries(added)) {
      await mkdir(dirname(join(source, path)), {recursive: true});
      await writeFile(join(source, path), text);
    }
    const out = join(work, 'out');
    await mkdir(out);
    // Some come with half of a vendor folder.
    const flags = ['-mod=mod', '-buildvcs=false', '-trimpath', '-tags', tags.join(','), '-o', `${out}/`];
    await run('go', ['build', ...flags, ...packages.map((path) => `./${path}`)], {cwd: source, timeoutMs: BUILD_MS});
    await mkdir(join(folder, '..'), {recursive: true});
    await rm(folder, {recursive: true, force: true});
    // Another test may have been first: the same programs.
    await rename(out, folder).catch(async () => access(join(folder, basename(packages[0] ?? ''))));
  } finally {
    await rm(work, {recursive: true, force: true});
  }
}
