import type {Layout} from './layout.ts';

/** One thing that is wrong with a node, and what to type. */
export interface Finding {
  readonly level: 'error' | 'warning';
  readonly code: string;
  readonly message: string;
  /** What to do, in words or as a command. */
  readonly todo: string;
}

/** What stands in the way between containerd's configuration and our files. */
export function findings(layout: Layout): Finding[] {
  const {config, problem, certsPath, distribution} = layout;
  if (config === undefined) {
    const message = `containerd's configuration cannot be read: ${problem ?? ''}`;
    return [{level: 'error', code: 'config-unreadable', message, todo: 'correct the file: containerd reads it, too'}];
  }
  if (config.files.length === 0) return [missing(layout)];
  const found: Finding[] = [];
  const {criPath, transferPath, version, mirrors} = config;
  if (mirrors) found.push(oldMirrors(layout));
  const paths = (criPath ?? '').split(':').filter((one) => one !== '');
  if (paths.length === 0) {
    found.push(notSet(layout));
  } else if (!paths.includes(certsPath)) {
    const message = `containerd reads ${criPath ?? ''}, and not ${certsPath}`;
    found.push({level: 'error', code: 'other-folder', message, todo: change(layout, paths[0] ?? certsPath)});
  } else if (paths.length > 1 && !config.pullsLocally) {
    // One root to the transfer service, which the kubelet's pulls go through since 2.1 (B-003, B-004;
    // https://github.com/containerd/containerd/issues/12415, seen in the source of v2.2.0).
    const message = `config_path lists ${String(paths.length)} folders: containerd 2.1 and newer takes the list for the name of one folder, and reads no hosts.toml`;
    found.push({level: version >= 3 ? 'error' : 'warning', code: 'list', message, todo: change(layout, certsPath)});
  }
  if (version >= 3 && transferPath !== undefined && transferPath !== '' && transferPath !== certsPath) {
    const message = `the transfer service reads ${transferPath}, and not ${certsPath}: ctr and other clients than the kubelet do not come here`;
    found.push({level: 'warning', code: 'transfer-folder', message, todo: change(layout, certsPath)});
  }
  if (distribution.writtenBy !== undefined && found.length > 0)
    found.push({
      level: 'warning',
      code: 'generated',
      message: `${distribution.configFile} is written by ${distribution.writtenBy}`,
      todo: 'change it there',
    });
  return found;
}

/** The lines of config.toml that make containerd read a folder. */
export function configLines(version: number, certsPath: string): string {
  const path = JSON.stringify(certsPath);
  if (version >= 3)
    return `version = 3\n[plugins."io.containerd.cri.v1.images".registry]\n  config_path = ${path}\n[plugins."io.containerd.transfer.v1.local"]\n  config_path = ${path}\n`;
  if (version === 2) return `version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = ${path}\n`;
  return `[plugins.cri.registry]\n  config_path = ${path}\n`;
}

function change({config, distribution}: Layout, certsPath: string): string {
  const lines = configLines(config?.version ?? 2, certsPath)
    .trimEnd()
    .replace(/^version = .*\n/, '');
  const file =
    distribution.writtenBy === undefined ? distribution.configFile : `the template of ${distribution.configFile}`;
  return `in ${file} set\n${lines}\nand then ${distribution.restart}`;
}

function missing({distribution, certsPath}: Layout): Finding {
  return {
    level: 'warning',
    code: 'config-unseen',
    message: `${distribution.configFile} is not there, or cannot be seen from here: containerd 2.1 and newer reads ${certsPath} without one, older ones do not`,
    todo:
      'for containerd older than 2.1, make one with\n' +
      configLines(2, certsPath).trimEnd() +
      `\nand then ${distribution.restart}`,
  };
}

function notSet(layout: Layout): Finding {
  const {config, certsPath} = layout;
  const isNew = (config?.version ?? 1) >= 3;
  const why = isNew
    ? 'containerd 2.0 then reads no hosts.toml, and 2.1 and 2.2 take their own default, a list, for one folder'
    : 'containerd 1.x then reads no hosts.toml';
  return {level: 'error', code: 'not-set', message: `config_path is not set: ${why}`, todo: change(layout, certsPath)};
}

function oldMirrors({distribution}: Layout): Finding {
  return {
    level: 'error',
    code: 'old-mirrors',
    message: `${distribution.configFile} or what it imports has registry.mirrors, configs or auths: containerd refuses mirrors together with config_path`,
    todo: 'write each of them as a folder with a hosts.toml below certs.d (https://github.com/containerd/containerd/blob/main/docs/hosts.md), and take them out there',
  };
}
