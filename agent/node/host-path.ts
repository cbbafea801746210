import {lstat, readlink} from 'node:fs/promises';
import {basename, dirname, join, normalize} from 'node:path';

/** As many as Linux follows. */
const MAX_LINKS = 40;

/**
 * Follows symbolic links as the host does, of which `root` is the file system: a link to `/etc/x` leads to `root/etc/x`.
 * @param path below `root`, absolute as the host sees it.
 * @returns the path without links, as the host sees it. What does not exist is not followed further.
 * @throws {Error} ELOOP.
 */
export async function resolveOnHost(root: string, path: string): Promise<string> {
  let rest = normalize(path).split('/').filter(Boolean);
  let at = '/';
  for (let links = 0; rest.length > 0;) {
    const [name = '', ...more] = rest;
    if (name === '..') {
      at = dirname(at);
      rest = more;
      continue;
    }
    const here = join(at, name);
    const target = await targetOf(join(root, here));
    if (target === undefined) {
      at = here;
      rest = more;
      continue;
    }
    if (++links > MAX_LINKS) throw Object.assign(new Error(`ELOOP: too many links in ${path}`), {code: 'ELOOP'});
    if (target.startsWith('/')) at = '/';
    rest = [...target.split('/').filter((part) => part !== '' && part !== '.'), ...more];
  }
  return at;
}

async function targetOf(path: string): Promise<string | undefined> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await readlink(path) : undefined;
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** Whether the system said that there is no such file. */
export function isAbsent(error: unknown): boolean {
  const {code} = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** Whether the host has something at `path`. @throws {Error} of the system, where it may not be asked. */
export async function exists(root: string, path: string): Promise<boolean> {
  try {
    await lstat(join(root, await resolveOnHost(root, path)));
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

/** A name beside `path` for what is on its way: hidden, and ours to remove whenever it is found. */
export function besides(path: string, id: string, kind: 'tmp' | 'gone'): string {
  return join(dirname(path), `.${basename(path)}.noost-${id}.${kind}`);
}

/** Whether a name is of `besides`. */
export function isLeftover(name: string): boolean {
  return /^\..+\.noost-[0-9a-f]+\.(?:tmp|gone)$/.test(name);
}
