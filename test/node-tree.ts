import {createHash} from 'node:crypto';
import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import {dirname, join} from 'node:path';

/** A file system to be made below a root: path → what it is. Folders above are made as needed, mode 755. */
export type Tree = Readonly<Record<string, TreeEntry>>;
export type TreeEntry =
  | {readonly file: string | Uint8Array; readonly mode?: number; readonly owner?: number}
  | {readonly link: string}
  /** A second name of a file that stands before it. */
  | {readonly hardLink: string}
  | {readonly folder: true; readonly mode?: number};

const LONG_AGO = new Date('2025-01-02T03:04:05Z');

export async function makeTree(root: string, tree: Tree): Promise<void> {
  for (const [path, entry] of Object.entries(tree)) {
    const there = join(root, path);
    await mkdir(dirname(there), {recursive: true});
    if ('link' in entry) await symlink(entry.link, there);
    else if ('hardLink' in entry) await link(join(root, entry.hardLink), there);
    else if ('folder' in entry) {
      await mkdir(there, {recursive: true});
      await chmod(there, entry.mode ?? 0o755);
    } else {
      await writeFile(there, entry.file);
      if (entry.owner !== undefined) await chown(there, entry.owner, entry.owner);
      await chmod(there, entry.mode ?? 0o644);
      await utimes(there, LONG_AGO, LONG_AGO);
    }
  }
}

/**
 * Everything below a folder, a line a name: kind, mode, owner, and of files the content, time and inode, of links the
 * target. Two trees that are equal here are the same to everybody who uses them.
 */
export async function describeTree(root: string): Promise<string[]> {
  const names = (await namesBelow(root, '')).toSorted();
  return Promise.all(names.map((name) => describe(root, name)));
}

/** By hand: Node's recursive `readdir` follows links, also in circles. */
async function namesBelow(root: string, folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(join(root, folder), {withFileTypes: true})) {
    const name = join(folder, entry.name);
    found.push(name);
    if (entry.isDirectory()) found.push(...(await namesBelow(root, name)));
  }
  return found;
}

async function describe(root: string, name: string): Promise<string> {
  const path = join(root, name);
  const stat = await lstat(path);
  const common = `${name} ${(stat.mode & 0o177777).toString(8)} ${stat.uid}:${stat.gid}`;
  if (stat.isSymbolicLink()) return `${common} → ${await readlink(path)}`;
  if (!stat.isFile()) return common;
  const digest = createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
  return `${common} ${digest} ${stat.mtimeMs} ${stat.ino} ${stat.nlink}`;
}
