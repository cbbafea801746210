import {join} from 'node:path';
import {readContainerdConfig, type ContainerdConfig} from './containerd-config.ts';
import {exists} from './host-path.ts';

/** A way in which Kubernetes comes with its containerd: where that one's configuration is. */
export interface Distribution {
  readonly name: string;
  /** As the host sees it. */
  readonly configFile: string;
  /** How containerd is started anew there. */
  readonly restart: string;
  /** Where the configuration is written by another program: what to change instead of the file. */
  readonly writtenBy?: string;
}

/** The first whose file, or whose certs.d, is there. @see docs/node.md, which has where each comes from. */
const DISTRIBUTIONS: readonly Distribution[] = [
  {
    name: 'k3s',
    configFile: '/var/lib/rancher/k3s/agent/etc/containerd/config.toml',
    restart: 'systemctl restart k3s || systemctl restart k3s-agent',
    writtenBy: 'k3s, from config.toml.tmpl (or config-v3.toml.tmpl) beside it',
  },
  {
    name: 'RKE2',
    configFile: '/var/lib/rancher/rke2/agent/etc/containerd/config.toml',
    restart: 'systemctl restart rke2-server || systemctl restart rke2-agent',
    writtenBy: 'RKE2, from config.toml.tmpl (or config-v3.toml.tmpl) beside it',
  },
  {
    name: 'k0s',
    configFile: '/etc/k0s/containerd.toml',
    restart: 'systemctl restart k0sworker || systemctl restart k0scontroller',
  },
  {
    name: 'MicroK8s',
    configFile: '/var/snap/microk8s/current/args/containerd.toml',
    restart: 'snap restart microk8s.daemon-containerd',
    writtenBy: 'MicroK8s, from containerd-template.toml beside it',
  },
  {name: 'containerd', configFile: '/etc/containerd/config.toml', restart: 'systemctl restart containerd'},
];
const PLAIN = DISTRIBUTIONS[DISTRIBUTIONS.length - 1] as Distribution; // the list is above
export const DEFAULT_CERTS = '/etc/containerd/certs.d';

/** What a node is to us: which containerd, and which folder it reads hosts.toml from. */
export interface Layout {
  readonly distribution: Distribution;
  /** `undefined`: it could not be read, and `problem` says why. */
  readonly config: ContainerdConfig | undefined;
  readonly problem: string | undefined;
  /** The folder to write, as the host sees it. */
  readonly certsPath: string;
}

/** What a person or the configuration says; the rest is found. */
export interface Said {
  readonly root: string;
  readonly configFile: string | undefined;
  readonly certsPath: string | undefined;
}

export async function findLayout({root, configFile, certsPath}: Said): Promise<Layout> {
  const distribution = await findDistribution(root, configFile);
  try {
    const config = await readContainerdConfig(root, distribution.configFile);
    const said = firstOf(config.criPath);
    const beside = join(distribution.configFile, '../certs.d');
    const found = said ?? (config.files.length > 0 || (await exists(root, beside)) ? beside : DEFAULT_CERTS);
    return {distribution, config, problem: undefined, certsPath: certsPath ?? found};
  } catch (error) {
    const beside = join(distribution.configFile, '../certs.d');
    return {distribution, config: undefined, problem: (error as Error).message, certsPath: certsPath ?? beside};
  }
}

/** The folder of a `config_path` that we write: the first, because containerd's order is that of the list (B-003). */
export function firstOf(path: string | undefined): string | undefined {
  return path?.split(':').find((one) => one !== '');
}

async function findDistribution(root: string, configFile: string | undefined): Promise<Distribution> {
  if (configFile !== undefined) {
    const known = DISTRIBUTIONS.find((one) => one.configFile === configFile);
    return known ?? {...PLAIN, configFile};
  }
  for (const one of DISTRIBUTIONS)
    if ((await exists(root, one.configFile)) || (await exists(root, join(one.configFile, '../certs.d')))) return one;
  return PLAIN;
}
