import type {BigIntStats} from 'node:fs';
import {lstat, readdir, readFile, stat} from 'node:fs/promises';
import {basename, dirname, join} from 'node:path';
import {isAbsent, resolveOnHost} from './host-path.ts';
import {NotMergeable, type Certificates} from './hosts-merge.ts';

/** A registry's folder below certs.d. */
export interface Place {
  /** The host's file system as this process sees it: `/`, or where a pod has it mounted. */
  readonly root: string;
  /** As the host sees it: `/etc/containerd/certs.d/_default`. */
  readonly folder: string;
  /** @default hosts.toml */
  readonly name?: string;
}

/** A name in the folder, as it is: a link is not followed. */
export interface Entry {
  readonly path: string;
  readonly stat: BigIntStats;
}

/** What there is, read once: what is decided is decided by this, and checked again before anything is replaced. */
export interface HostsState {
  /** Without links, as this process sees it. */
  readonly folder: string;
  /** The file's name. */
  readonly name: string;
  /** Folders that are missing, the outermost first; empty if there are none. */
  readonly missing: readonly string[];
  readonly file: (Entry & {readonly text: string}) | undefined;
  /** What stood there before us, under a name of its own: the very same inode. */
  readonly original: (Entry & {readonly text: string}) | undefined;
}

const HOSTS = 'hosts.toml';
/** containerd reads it at each pull; nobody writes so much. */
const MAX_BYTES = 1 << 20;
/** `_default` and certs.d itself may be missing; not the folder of containerd's configuration. */
const MAX_MISSING = 2;

/** What stood there before us has this name. */
export function originalOf({folder, name}: Pick<HostsState, 'folder' | 'name'>): string {
  return join(folder, `.${name}.noost-original`);
}

/** @throws {NotMergeable} for what is no hosts.toml; what the system says otherwise. */
export async function readHosts({root, folder, name = HOSTS}: Place): Promise<HostsState> {
  const real = await resolveOnHost(root, folder);
  const missing = await missingFolders(join(root, real));
  for (const path of missing.length > 0 ? [folder, dirname(folder)] : [])
    if (
      (await lstatIfThere(join(root, path)))?.isSymbolicLink() === true &&
      missing.includes(join(root, await resolveOnHost(root, path)))
    )
      throw new NotMergeable(`${path} is a link to what cannot be seen from here`);
  if (missing.length > 0) return {folder: join(root, real), name, missing, file: undefined, original: undefined};
  const paths = [join(real, name), originalOf({folder: real, name})];
  const [file, original] = await Promise.all(paths.map((path) => readEntry(root, path)));
  return {folder: join(root, real), name, missing, file, original};
}

/** Certificates in the folder, as containerd finds them where no hosts.toml says anything (containerd `loadCertFiles`). */
export async function certificatesIn(folder: string): Promise<Certificates> {
  const names = (await readdir(folder)).toSorted();
  const files: string[] = [];
  for (const name of names) if (!(await isFolder(join(folder, name)))) files.push(name);
  const keyOf = (name: string): string => `${name.slice(0, -'.cert'.length)}.key`;
  return {
    ca: files.filter((name) => name.endsWith('.crt')),
    client: files
      .filter((name) => name.endsWith('.cert'))
      .map((name) => [name, files.includes(keyOf(name)) ? keyOf(name) : name] as const), // else the key is in it, too
  };
}

/** Whether it is the same file with the same content, as far as the system can say. */
export function isSame(a: Entry | undefined, b: BigIntStats | undefined): boolean {
  if (a === undefined || b === undefined) return a === undefined && b === undefined;
  const {stat: s} = a;
  return s.ino === b.ino && s.dev === b.dev && s.size === b.size && s.mtimeNs === b.mtimeNs && s.mode === b.mode;
}

export async function lstatIfThere(path: string): Promise<BigIntStats | undefined> {
  try {
    return await lstat(path, {bigint: true});
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

async function missingFolders(folder: string): Promise<string[]> {
  const missing: string[] = [];
  for (let at = folder; ; at = dirname(at)) {
    const there = await lstatIfThere(at);
    if (there?.isDirectory() === true) return missing;
    if (there !== undefined) throw new NotMergeable(`${at} is no folder`);
    missing.unshift(at);
    if (missing.length > MAX_MISSING)
      throw new NotMergeable(`there is no ${dirname(dirname(folder))}: is containerd configured elsewhere?`);
  }
}

async function readEntry(root: string, path: string): Promise<(Entry & {readonly text: string}) | undefined> {
  const there = join(root, path);
  const entry = await lstatIfThere(there);
  if (entry === undefined) return undefined;
  if (!entry.isFile() && !entry.isSymbolicLink()) throw new NotMergeable(`${basename(path)} is no file`);
  const target = entry.isSymbolicLink() ? join(root, await resolveOnHost(root, path)) : there;
  const {size} = await regular(target, path);
  if (size > MAX_BYTES) throw new NotMergeable(`${basename(path)} is larger than 1 MiB`);
  return {path: there, stat: entry, text: decode(await readFile(target), path)};
}

/** A pipe would be waited for, and a link may lead to where only the host can look. */
async function regular(target: string, path: string): Promise<{readonly size: number}> {
  try {
    const found = await stat(target);
    if (found.isFile()) return found;
  } catch (error) {
    if (!isAbsent(error)) throw error;
    throw new NotMergeable(`${basename(path)} is a link to what cannot be seen from here`, {cause: error});
  }
  throw new NotMergeable(`${basename(path)} is no file`);
}

function decode(bytes: Buffer, path: string): string {
  try {
    return new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(bytes);
  } catch (error) {
    throw new NotMergeable(`${basename(path)} is not UTF-8, so containerd does not use it either`, {cause: error});
  }
}

async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() === true;
}
