import {dirname} from 'node:path';
import {inspect, install, uninstall, type Outcome, type Standing, type Wanted} from './certs-dir.ts';
import {DROP_IN, DROP_INS, inspectCrio, installCrio, uninstallCrio} from './crio.ts';
import {findings, type Finding} from './findings.ts';
import {exists} from './host-path.ts';
import type {Writer} from './hosts-file.ts';
import {findLayout, type Said} from './layout.ts';

/** Which program's files. k3s and RKE2: the file they make containerd's from, at their next start. */
export const RUNTIMES = ['containerd', 'crio', 'k3s', 'rke2'] as const;
export type Runtime = (typeof RUNTIMES)[number];

/** The files by which a runtime finds the agent. */
export interface RuntimeFiles {
  /** The folder or file, as the host sees it. */
  readonly path: string;
  /** What runs here, for people: `containerd`, `k3s`, … */
  readonly name: string;
  readonly configFiles: readonly string[];
  readonly configVersion: number | undefined;
  /** What has to be done for a change to count; `undefined`: nothing. */
  readonly afterwards: string | undefined;
  /** What stands in the way, whatever we write. */
  readonly findings: readonly Finding[];
  /** The lines of the runtime's own configuration that it needs, and where they belong. */
  readonly needs: {readonly file: string; readonly restart: string; readonly version: number} | undefined;
  install(wanted: Wanted, writer: Writer): Promise<Outcome[]>;
  /** @param owner only what this one wrote; `undefined`: all. */
  uninstall(owner?: string): Promise<Outcome[]>;
  inspect(): Promise<Standing[]>;
}

export async function runtimeFiles(runtime: Runtime, said: Said): Promise<RuntimeFiles> {
  switch (runtime) {
    case 'containerd':
      return containerdFiles(said);
    case 'crio':
      return crioFiles(said.root);
    case 'k3s':
    case 'rke2':
      return rancherFiles(said.root, runtime);
  }
}

async function containerdFiles(said: Said): Promise<RuntimeFiles> {
  const layout = await findLayout(said);
  const {config, distribution} = layout;
  const certs = {root: said.root, path: layout.certsPath};
  return {
    path: certs.path,
    name: distribution.name,
    configFiles: config?.files ?? [],
    configVersion: config?.files.length === 0 ? undefined : config?.version,
    afterwards: undefined,
    findings: findings(layout),
    needs: {file: distribution.configFile, restart: distribution.restart, version: config?.version ?? 2},
    install: (wanted, writer) => install(certs, wanted, writer),
    uninstall: (owner) => uninstall(certs, owner),
    inspect: () => inspect(certs),
  };
}

async function crioFiles(root: string): Promise<RuntimeFiles> {
  return {
    path: `${DROP_INS}/${DROP_IN}`,
    name: 'CRI-O',
    configFiles: [],
    configVersion: undefined,
    afterwards: 'systemctl reload crio (not with auto_reload_registries = true in its configuration)',
    findings: await notThere(root, dirname(DROP_INS), 'CRI-O'),
    needs: undefined,
    install: (wanted, writer) => installCrio(root, wanted, writer),
    uninstall: (owner) => uninstallCrio(root, owner),
    inspect: () => inspectCrio(root),
  };
}

/** Loaded when it is needed: an agent never writes this file, and YAML's library costs memory. */
async function rancherFiles(root: string, which: 'k3s' | 'rke2'): Promise<RuntimeFiles> {
  const {inspectRancher, installRancher, RANCHER, uninstallRancher} = await import('./k3s.ts');
  const folder = RANCHER[which];
  const units = which === 'k3s' ? ['k3s', 'k3s-agent'] : ['rke2-server', 'rke2-agent'];
  return {
    path: `${folder}/registries.yaml`,
    name: which === 'k3s' ? 'k3s' : 'RKE2',
    configFiles: [],
    configVersion: undefined,
    afterwards: units.map((unit) => `systemctl restart ${unit}`).join(' || '),
    findings: await notThere(root, dirname(folder), which),
    needs: undefined,
    install: (wanted, writer) => installRancher(root, which, wanted, writer),
    uninstall: () => uninstallRancher(root, which),
    inspect: () => inspectRancher(root, which),
  };
}

async function notThere(root: string, folder: string, what: string): Promise<Finding[]> {
  if (await exists(root, folder)) return [];
  const message = `there is no ${folder}: is ${what} on this node?`;
  const todo = 'choose another --runtime, or say where the node is: --host-root FOLDER';
  return [{level: 'error', code: 'no-folder', message, todo}];
}
