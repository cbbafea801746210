import {readFileSync} from 'node:fs';

/** A package of package-lock.json that a running program needs. */
export interface LockedPackage {
  /** Where it is installed, such as `node_modules/pino`. */
  readonly path: string;
  readonly name: string;
  readonly version: string;
  readonly license: string | undefined;
  /** Subresource integrity, such as `sha512-…`. */
  readonly integrity: string | undefined;
}

interface Entry {
  readonly name?: string;
  readonly version?: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly dev?: boolean;
  readonly os?: string | readonly string[];
  readonly cpu?: string | readonly string[];
}

/** Node comes from the base image, and types are for compilers. */
const NOT_IN_THE_IMAGE = /^(?:node-linux-|@types\/|undici-types$)/;

/**
 * What the production dependencies are on Linux and one processor.
 * @param cpu as npm names it: `x64` or `arm64`.
 */
export function productionPackages(lockFile: string, cpu: string): LockedPackage[] {
  const {packages} = JSON.parse(readFileSync(lockFile, 'utf8')) as {packages: Record<string, Entry>}; // npm wrote it
  return Object.entries(packages).flatMap(([path, entry]) => {
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);
    if (path === '' || entry.dev === true || NOT_IN_THE_IMAGE.test(name)) return [];
    if (!runsOn(entry.os, 'linux') || !runsOn(entry.cpu, cpu)) return [];
    return [{path, name, version: entry.version ?? '', license: entry.license, integrity: entry.integrity}];
  });
}

function runsOn(allowed: string | readonly string[] | undefined, here: string): boolean {
  return allowed === undefined || [allowed].flat().includes(here);
}
