import {readdir, readFile} from 'node:fs/promises';
import {dirname, join} from 'node:path';
import {SECRET_COMPONENT} from '../access/secret-path.ts';
import {attempt, type Outcome, type Standing, type Wanted} from './certs-dir.ts';
import {exists, isAbsent, resolveOnHost} from './host-path.ts';
import {restoreHosts, sweepFolder, writeHosts, type Wish, type Writer} from './hosts-file.ts';
import {formatBlock, type Mark} from './hosts-mark.ts';
import {asComponent, digestOf, NotMergeable, takeOut, type AgentHost} from './hosts-merge.ts';
import {readHosts, type Place} from './hosts-state.ts';
import {isTable, parseToml} from './toml-text.ts';

/** As the host sees them. @see containers-registries.conf(5) */
const MAIN = '/etc/containers/registries.conf';
export const DROP_INS = '/etc/containers/registries.conf.d';
export const DROP_IN = '50-noost.conf';
/** A mirror needs a prefix, and there is none for all: the registries that clusters pull from most. */
export const WELL_KNOWN: readonly string[] = [
  'docker.io',
  'gcr.io',
  'ghcr.io',
  'mcr.microsoft.com',
  'public.ecr.aws',
  'quay.io',
  'registry.k8s.io',
];

/** Writes a drop-in of our own for CRI-O, and for podman and skopeo of this node. */
export async function installCrio(root: string, {host, registries}: Wanted, writer: Writer): Promise<Outcome[]> {
  await sweep(root);
  const taken = await prefixesOf(root);
  const wanted = registries ?? WELL_KNOWN;
  const names = wanted.filter((name) => !taken.some(({prefix}) => covers(prefix, name)));
  const leftAlone = wanted
    .filter((name) => !names.includes(name))
    .map((name): Outcome => {
      const file = taken.find(({prefix}) => covers(prefix, name))?.file ?? '';
      const why = `${file} configures it, and ours would replace that: add the mirror there (noost containerd print --runtime crio)`;
      return {name, did: 'left alone', why};
    });
  if (names.length === 0) return [...(await uninstallCrio(root, writer.owner)), ...leftAlone];
  const wish: Wish = {
    hasSecret: host.secret !== undefined,
    merge: (base, _certificates, noted) => {
      if (base.trim() !== '')
        throw new NotMergeable(`${DROP_INS}/${DROP_IN} holds something of yours: give that another name`);
      const mark: Mark = {...noted, url: host.url, base: digestOf(base), broken: false};
      return base + formatBlock(mark, names.map((name) => mirrorOf(name, host)).join(''));
    },
  };
  const outcome = await attempt(DROP_IN, async () => {
    const all = dirname(DROP_INS);
    if (!(await exists(root, all))) throw new NotMergeable(`there is no ${all}: CRI-O is not here`);
    return (await writeHosts(placeIn(root), wish, writer)) ? 'written' : 'unchanged';
  });
  return [...(outcome === undefined ? [] : [outcome]), ...leftAlone];
}

/** @param owner only what this one wrote; `undefined`: whoever did. */
export async function uninstallCrio(root: string, owner?: string): Promise<Outcome[]> {
  const outcome = await attempt(DROP_IN, async () => restoreHosts(placeIn(root), {owner}));
  if (owner === undefined) await sweep(root);
  return outcome === undefined ? [] : [outcome];
}

export async function inspectCrio(root: string): Promise<Standing[]> {
  const {file} = await readHosts(placeIn(root));
  if (file === undefined) return [];
  const taken = takeOut(file.text);
  return [
    {
      name: DROP_IN,
      registry: '',
      mark: taken?.mark,
      remains: taken !== undefined && taken.mark === undefined,
      text: file.text,
    },
  ];
}

/**
 * One registry with the agent before it: names are rewritten by putting the location in place of the prefix, so that the
 * registry is in the path (B-071), and so is the secret, for there are no headers.
 */
export function mirrorOf(registry: string, {url, secret}: AgentHost): string {
  const address = url.replace(/^http:\/\//, '');
  const proof = secret === undefined ? '' : `/${SECRET_COMPONENT}${asComponent(secret)}`;
  const lines = [
    '[[registry]]',
    `prefix = ${JSON.stringify(registry)}`,
    `location = ${JSON.stringify(registry)}`,
    '[[registry.mirror]]',
    `location = ${JSON.stringify(`${address}${proof}/${registry}`)}`,
    'insecure = true',
  ];
  return lines.map((line) => `${line}\n`).join('');
}

function placeIn(root: string): Place {
  return {root, folder: DROP_INS, name: DROP_IN};
}

async function sweep(root: string): Promise<void> {
  await sweepFolder(join(root, await resolveOnHost(root, DROP_INS)));
}

/** What others' files say: a later table of the same prefix replaces an earlier one (containers-registries.conf.d(5)). */
async function prefixesOf(root: string): Promise<{readonly prefix: string; readonly file: string}[]> {
  const folder = join(root, await resolveOnHost(root, DROP_INS));
  const names = (await readdir(folder).catch((): string[] => [])).filter(
    (name) => name.endsWith('.conf') && name !== DROP_IN,
  );
  const found: {prefix: string; file: string}[] = [];
  for (const file of [MAIN, ...names.toSorted().map((name) => `${DROP_INS}/${name}`)]) {
    const {registry: tables} = await readToml(root, file);
    for (const table of Array.isArray(tables) ? tables : []) {
      const prefix = isTable(table) ? (table['prefix'] ?? table['location']) : undefined;
      if (typeof prefix === 'string') found.push({prefix, file});
    }
  }
  return found;
}

async function readToml(root: string, file: string): Promise<ReturnType<typeof parseToml>> {
  try {
    return parseToml(await readFile(join(root, await resolveOnHost(root, file)), 'utf8'));
  } catch (error) {
    if (isAbsent(error)) return {};
    throw new Error(`${file} cannot be read, by CRI-O neither: ${(error as Error).message.split('\n')[0] ?? ''}`, {
      cause: error,
    });
  }
}

function covers(prefix: string, registry: string): boolean {
  return prefix === registry || (prefix.startsWith('*.') && registry.endsWith(prefix.slice(1)));
}
