import {dirname, join} from 'node:path';
import {attempt, type Outcome, type Standing, type Wanted} from './certs-dir.ts';
import {exists, resolveOnHost} from './host-path.ts';
import {restoreHosts, sweepFolder, writeHosts, type Writer} from './hosts-file.ts';
import {NotMergeable, takeOut} from './hosts-merge.ts';
import {readHosts, type Place} from './hosts-state.ts';
import {mergeRegistries, REGISTRIES_YAML} from './registries-yaml.ts';

/** Folder of `registries.yaml`, as the host sees it. */
export const RANCHER = {k3s: '/etc/rancher/k3s', rke2: '/etc/rancher/rke2'} as const;
export type Rancher = keyof typeof RANCHER;

/** Writes the agent into the file from which k3s or RKE2 makes hosts.toml files when it starts. */
export async function installRancher(
  root: string,
  which: Rancher,
  {host, registries}: Wanted,
  writer: Writer,
): Promise<Outcome[]> {
  const place = placeOf(root, which);
  const outcome = await attempt(REGISTRIES_YAML, async () => {
    // Its own folder may be missing on an agent node; that of all of Rancher's is not.
    const all = dirname(place.folder);
    if (!(await exists(root, all))) throw new NotMergeable(`there is no ${all}: neither k3s nor RKE2 is here`);
    const wish = {
      hasSecret: host.secret !== undefined,
      merge: (base: string, _certificates: unknown, noted: Parameters<typeof mergeRegistries>[3]) =>
        mergeRegistries(base, host, registries, noted),
    };
    return (await writeHosts(place, wish, writer)) ? 'written' : 'unchanged';
  });
  return outcome === undefined ? [] : [outcome];
}

export async function uninstallRancher(root: string, which: Rancher): Promise<Outcome[]> {
  const place = placeOf(root, which);
  const outcome = await attempt(REGISTRIES_YAML, async () => restoreHosts(place, {}));
  await sweepFolder(join(root, await resolveOnHost(root, place.folder)));
  return outcome === undefined ? [] : [outcome];
}

export async function inspectRancher(root: string, which: Rancher): Promise<Standing[]> {
  const {file} = await readHosts(placeOf(root, which));
  if (file === undefined) return [];
  const taken = takeOut(file.text);
  return [
    {
      name: REGISTRIES_YAML,
      registry: '',
      mark: taken?.mark,
      remains: taken !== undefined && taken.mark === undefined,
      text: file.text,
    },
  ];
}

function placeOf(root: string, which: Rancher): Place {
  return {root, folder: RANCHER[which], name: REGISTRIES_YAML};
}
