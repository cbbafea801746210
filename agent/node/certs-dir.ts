import {readdir, stat} from 'node:fs/promises';
import {dirname, join} from 'node:path';
import {parseRegistry} from '../../oci/reference.ts';
import {isAbsent, resolveOnHost} from './host-path.ts';
import {
  ChangedMeanwhile,
  restoreHosts,
  sweepFolder,
  writeHosts,
  type Of,
  type Wish,
  type Writer,
} from './hosts-file.ts';
import {mergeHosts, NotMergeable, takeOut, type AgentHost} from './hosts-merge.ts';
import type {Mark} from './hosts-mark.ts';
import {readHosts, type Place} from './hosts-state.ts';

/** The folder of containerd's host configuration, as the host sees it, and what is to be in it. */
export interface CertsDir {
  readonly root: string;
  readonly path: string;
}

/** What became of one folder. */
export interface Outcome {
  /** The folder's name: `_default`, `ghcr.io`, `registry.example_5000_`. */
  readonly name: string;
  readonly did: 'written' | 'unchanged' | 'restored' | 'removed' | 'kept edits' | 'left alone' | 'failed';
  /** Why it was left alone or failed. */
  readonly why?: string;
}

export interface Wanted {
  readonly host: AgentHost;
  /** Registries as images name them; `undefined`: all, by `_default` and every folder that is there. */
  readonly registries: readonly string[] | undefined;
}

export const DEFAULT = '_default';
/** More folders than that are no configuration. */
const MAX_FOLDERS = 1_000;

/** Writes the agent into every folder that is to have it. What cannot be written is told, and holds up nothing else. */
export async function install(certs: CertsDir, wanted: Wanted, writer: Writer): Promise<Outcome[]> {
  const there = await foldersOf(certs);
  await sweepAll(certs, there);
  const outcomes: Outcome[] = [];
  const names = there.includes(DEFAULT) ? there : [...there, DEFAULT];
  const isOurs = (name: string): boolean => isWanted(name, wanted) && reasonToSkip(name, wanted) === undefined;
  const written = new Set(await Promise.all(names.filter(isOurs).map((name) => realOf(certs, name))));
  for (const name of names) {
    if (isOurs(name)) {
      outcomes.push(await writeOne(certs, name, wanted, writer));
      continue;
    }
    // What an earlier one, who wanted more, left there is not to stay, unless it is a wanted folder by another name.
    const isAlias = written.has(await realOf(certs, name));
    const outcome = isAlias ? undefined : await takeOutOf(certs, name, {notNewerThan: writer});
    const why = isWanted(name, wanted) ? reasonToSkip(name, wanted) : undefined;
    if (outcome !== undefined) outcomes.push(outcome);
    else if (why !== undefined) outcomes.push({name, did: 'left alone', why});
  }
  for (const registry of wanted.registries ?? []) {
    if (there.some((name) => registryOf(name) === registry)) continue;
    outcomes.push(await addOne(certs, registry, wanted, writer));
  }
  return outcomes;
}

/**
 * Takes the agent out of every folder, and what was left behind by an interruption.
 * @param owner only what this one wrote; `undefined`: all.
 */
export async function uninstall(certs: CertsDir, owner?: string): Promise<Outcome[]> {
  const there = await foldersOf(certs);
  const outcomes: Outcome[] = [];
  for (const name of there) {
    const outcome = await takeOutOf(certs, name, {owner});
    if (outcome !== undefined) outcomes.push(outcome);
  }
  if (owner === undefined) await sweepAll(certs, there);
  return outcomes;
}

function takeOutOf(certs: CertsDir, name: string, of: Of): Promise<Outcome | undefined> {
  return attempt(name, async () => restoreHosts(placeOf(certs, name), of));
}

/** Without links. */
function realOf({root, path}: CertsDir, name: string): Promise<string> {
  return resolveOnHost(root, join(path, name)).catch(() => ''); // in a circle
}

/** One folder as it stands. */
export interface Standing {
  readonly name: string;
  readonly registry: string;
  /** `undefined` if we are not in it. */
  readonly mark: Mark | undefined;
  /** What of ours is there although no whole block is. */
  readonly remains: boolean;
  readonly text: string | undefined;
  /** Why nothing can be said. */
  readonly why?: string;
}

export async function inspect(certs: CertsDir): Promise<Standing[]> {
  const standings: Standing[] = [];
  for (const name of await foldersOf(certs)) {
    const registry = registryOf(name);
    try {
      const {file, original} = await readHosts(placeOf(certs, name));
      const taken = file === undefined ? undefined : takeOut(file.text);
      const remains = taken === undefined ? original !== undefined : taken.mark === undefined;
      standings.push({name, registry, mark: taken?.mark, remains, text: file?.text});
    } catch (error) {
      standings.push({name, registry, mark: undefined, remains: false, text: undefined, why: reasonOf(error)});
    }
  }
  return standings;
}

/** `registry.example_5000_` and `registry.example:5000` are both `registry.example:5000` (B-001). */
export function registryOf(name: string): string {
  return name.replace(/^(.+)_(\d+)_$/, '$1:$2');
}

export function placeOf({root, path}: CertsDir, name: string): Place {
  return {root, folder: join(path, name)};
}

/** Folders and links to folders, hidden ones left out. @throws {NotMergeable} if there are too many. */
async function foldersOf({root, path}: CertsDir): Promise<string[]> {
  const folder = join(root, await resolveOnHost(root, path));
  const names = await readdir(folder).catch((error: unknown): string[] => {
    if (isAbsent(error)) return [];
    throw error;
  });
  if (names.length > MAX_FOLDERS) throw new NotMergeable(`${path} holds ${String(names.length)} names: too many`);
  const found: string[] = [];
  for (const name of names.toSorted()) {
    if (name.startsWith('.')) continue;
    const there = await resolveOnHost(root, join(path, name)).catch(() => undefined); // a link in a circle is no folder
    if (there === undefined) continue;
    if ((await stat(join(root, there)).catch(() => undefined))?.isDirectory() === true) found.push(name);
  }
  return found;
}

function isWanted(name: string, {registries}: Wanted): boolean {
  return registries === undefined || registries.includes(registryOf(name));
}

/** Whose images the agent could not fetch: its own address, and registries of this machine (design §4.1). */
function reasonToSkip(name: string, {host}: Wanted): string | undefined {
  const registry = registryOf(name);
  if (host.url === `http://${registry}`) return 'these are images that name the agent itself';
  const address = registry.replace(/:\d+$/, '');
  return address === 'localhost' || /^127\.\d+\.\d+\.\d+$/.test(address) || /^\[?::1\]?$/.test(address)
    ? 'a registry on this machine, which needs no cache'
    : undefined;
}

function wishFor(host: AgentHost): Wish {
  return {
    hasSecret: host.secret !== undefined,
    merge: (base, certificates, noted) => mergeHosts(base, host, certificates, noted),
  };
}

async function writeOne(certs: CertsDir, name: string, {host}: Wanted, writer: Writer): Promise<Outcome> {
  const outcome = await attempt(name, async () => {
    return (await writeHosts(placeOf(certs, name), wishFor(host), writer)) ? 'written' : 'unchanged';
  });
  return outcome ?? {name, did: 'unchanged'};
}

/** A folder of its own hides `_default` (B-001): where that is the user's, a second one would take their hosts away. */
async function addOne(certs: CertsDir, registry: string, wanted: Wanted, writer: Writer): Promise<Outcome> {
  const name = folderOf(registry);
  const {file, missing, folder} = await readHosts(placeOf(certs, DEFAULT));
  const isEmpty = missing.length > 0 || (file === undefined && (await readdir(folder)).length === 0);
  if (isEmpty) return writeOne(certs, name, wanted, writer);
  const why = `_default is yours and would no longer hold for ${registry}: make a folder ${name} with what it is to have, or name no registries`;
  return {name, did: 'left alone', why};
}

function folderOf(registry: string): string {
  return parseRegistry(registry).replace(/:(\d+)$/, '_$1_');
}

export async function attempt(
  name: string,
  act: () => Promise<Outcome['did'] | 'nothing'>,
): Promise<Outcome | undefined> {
  for (let tries = 1; ; tries++) {
    try {
      const did = await act();
      return did === 'nothing' ? undefined : {name, did};
    } catch (error) {
      // Another agent may sweep while we write.
      if ((error instanceof ChangedMeanwhile || isAbsent(error)) && tries < 3) continue;
      return {name, did: error instanceof NotMergeable ? 'left alone' : 'failed', why: reasonOf(error)};
    }
  }
}

export function reasonOf(error: unknown): string {
  const {code, message} = error as NodeJS.ErrnoException;
  if (code === 'EROFS') return 'the file system is read-only: see noost containerd print';
  if (code === 'EACCES' || code === 'EPERM')
    return `not allowed (${code}): it takes the owner of the folder, which is root`;
  return message;
}

/** What interrupted writes and restores left, here and where certs.d itself may have been on its way. */
async function sweepAll(certs: CertsDir, names: readonly string[]): Promise<void> {
  const {root, path} = certs;
  const folder = join(root, await resolveOnHost(root, path));
  await sweepFolder(dirname(folder));
  await sweepFolder(folder);
  for (const name of names) await sweepFolder(join(root, await resolveOnHost(root, join(path, name))));
}
