import {glob, readFile} from 'node:fs/promises';
import {dirname, join} from 'node:path';
import {isAbsent, resolveOnHost} from './host-path.ts';
import {isTable, parseToml, tableAt, type TomlTable, type TomlValue} from './toml-text.ts';

/** What a containerd's configuration says about where it reads hosts.toml. */
export interface ContainerdConfig {
  /** All that were read, as the host sees them, the main one first. Empty: there is none. */
  readonly files: readonly string[];
  /** Of its grammar: 1 and 2 of containerd 1.x, 3 of 2.x. */
  readonly version: number;
  /** As written, for what the kubelet asks for; `undefined` if nothing is said. */
  readonly criPath: string | undefined;
  /** As written, for the transfer service (2.x): what `ctr` and other clients ask for. */
  readonly transferPath: string | undefined;
  /** Whether it has the old `registry.mirrors` or `registry.configs`, beside which `config_path` cannot be (B-005). */
  readonly mirrors: boolean;
  /** Whether 2.1 and newer pulls as older ones did, and not by the transfer service, because of another option (B-004). */
  readonly pullsLocally: boolean;
}

/** Imports of imports of imports; the same file twice is read once. */
const MAX_FILES = 100;

/**
 * Reads a configuration with its imports in containerd's order: each after the file that names it, and what comes later
 * wins (containerd `LoadConfig`, v1.6.20 and v2.2.0).
 * @param root where the host's file system is. @param file as the host sees it.
 * @throws {Error} that names the file that cannot be read or is no TOML: containerd does not start with it either.
 */
export async function readContainerdConfig(root: string, file: string): Promise<ContainerdConfig> {
  const files: string[] = [];
  let merged: TomlTable = {};
  const waiting = [file];
  for (let path = waiting.shift(); path !== undefined; path = waiting.shift()) {
    if (files.includes(path)) continue;
    const table = await readTable(root, path);
    if (table === undefined && path === file) break; // containerd runs without one
    if (table === undefined) throw new Error(`${path} is imported and not there`);
    if (files.push(path) > MAX_FILES) throw new Error(`${file} imports more than ${String(MAX_FILES)} files`);
    merged = merge(merged, table);
    waiting.push(...(await importsOf(root, path, table)));
  }
  const version = typeof merged['version'] === 'number' ? merged['version'] : 1;
  const plugins = tableAt(merged, 'plugins');
  const cri = tableAt(plugins, criPluginOf(version));
  const registry = tableAt(cri, 'registry');
  const unpacked = version >= 3 ? cri : tableAt(cri, 'containerd'); // where discard_unpacked_layers is
  const mirrors = ['mirrors', 'configs', 'auths'].some((key) => Object.keys(tableAt(registry, key)).length > 0);
  return {
    files,
    version,
    criPath: textAt(registry, 'config_path'),
    transferPath: textAt(tableAt(plugins, 'io.containerd.transfer.v1.local'), 'config_path'),
    mirrors,
    pullsLocally:
      mirrors ||
      cri['use_local_image_pull'] === true ||
      unpacked['discard_unpacked_layers'] === true ||
      (cri['max_concurrent_downloads'] ?? 3) !== 3,
  };
}

/** The plugin that pulls for the kubelet. */
function criPluginOf(version: number): string {
  if (version >= 3) return 'io.containerd.cri.v1.images';
  return version === 2 ? 'io.containerd.grpc.v1.cri' : 'cri';
}

async function readTable(root: string, path: string): Promise<TomlTable | undefined> {
  let text: string;
  try {
    text = await readFile(join(root, await resolveOnHost(root, path)), 'utf8');
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw new Error(`${path} cannot be read: ${(error as Error).message}`, {cause: error});
  }
  try {
    return parseToml(text);
  } catch (error) {
    throw new Error(`${path} is not valid TOML: ${(error as Error).message.split('\n')[0] ?? ''}`, {cause: error});
  }
}

async function importsOf(root: string, path: string, {imports}: TomlTable): Promise<string[]> {
  const found: string[] = [];
  for (const one of Array.isArray(imports) ? imports : []) {
    if (typeof one !== 'string') continue;
    const absolute = one.startsWith('/') ? one : join(dirname(path), one);
    if (!absolute.includes('*')) {
      found.push(absolute);
      continue;
    }
    const matches: string[] = [];
    for await (const match of glob(absolute.slice(1), {cwd: root})) matches.push(`/${match}`);
    found.push(...matches.toSorted());
  }
  return found;
}

/** containerd 2 merges tables of plugins key by key; 1.x replaces a plugin's whole table, which is how it is told apart here. */
function merge(into: TomlTable, from: TomlTable, depth = 0): TomlTable {
  const isOld = depth === 0 && Number(into['version'] ?? from['version'] ?? 1) < 3;
  const merged: Record<string, TomlValue> = {...into};
  for (const [key, value] of Object.entries(from)) {
    const before = merged[key];
    if (!isTable(value) || !isTable(before)) merged[key] = value;
    else merged[key] = isOld && key === 'plugins' ? {...before, ...value} : merge(before, value, depth + 1);
  }
  return merged;
}

function textAt(table: TomlTable, key: string): string | undefined {
  const value = table[key];
  return typeof value === 'string' ? value : undefined;
}
