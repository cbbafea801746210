import {access, constants} from 'node:fs/promises';
import {dirname, join} from 'node:path';
import {DEFAULT, reasonOf, type Standing, type Wanted} from './certs-dir.ts';
import type {Finding} from './findings.ts';
import {isAbsent, resolveOnHost} from './host-path.ts';
import {ask} from './keeper.ts';
import type {RuntimeFiles} from './runtime-files.ts';

/** All that can be said of a node from its files and from the agent's answer. */
export interface Report {
  /** `containerd`, `k3s`, … */
  readonly runtime: string;
  readonly configFiles: readonly string[];
  readonly configVersion: number | undefined;
  /** The folder or file that names the agent, or is to. */
  readonly path: string;
  readonly files: readonly {readonly name: string; readonly agent: string | undefined}[];
  readonly problems: readonly Finding[];
}

/** Looks at everything and changes nothing. */
export async function diagnose(root: string, files: RuntimeFiles, wanted: Wanted): Promise<Report> {
  const standings = await files.inspect().catch((error: unknown) => reasonOf(error));
  const all = typeof standings === 'string' ? [] : standings;
  const urls = new Set([wanted.host.url, ...all.flatMap(({mark}) => (mark === undefined ? [] : [mark.url]))]);
  const problems = [
    ...files.findings,
    ...(typeof standings === 'string' ? [unreadable(files.path, standings)] : []),
    ...(await writable(root, files.path)),
    ...all.flatMap((one) => aboutFile(one, all, wanted, files)),
    ...missing(all, wanted),
    ...(await Promise.all([...urls].map((url) => answers(url, all)))).flat(),
  ];
  return {
    runtime: files.name,
    configFiles: files.configFiles,
    configVersion: files.configVersion,
    path: files.path,
    files: all.map(({name, mark}) => ({name, agent: mark?.url})),
    problems,
  };
}

function unreadable(path: string, why: string): Finding {
  return {level: 'error', code: 'unreadable', message: `${path} cannot be read: ${why}`, todo: 'run this as root'};
}

async function writable(root: string, path: string): Promise<Finding[]> {
  try {
    const there = join(root, await resolveOnHost(root, path));
    for (const at of [there, dirname(there)]) {
      try {
        await access(at, constants.W_OK);
        return [];
      } catch (error) {
        if (!isAbsent(error) || at !== there) throw error;
      }
    }
    return [];
  } catch (error) {
    if (isAbsent(error)) {
      const message = `there is no ${dirname(path)}`;
      const todo =
        'say where the runtime is configured: --containerd-config FILE, --certs-dir FOLDER or --host-root FOLDER';
      return [{level: 'error', code: 'no-folder', message, todo}];
    }
    const message = `${path} cannot be written: ${reasonOf(error)}`;
    const todo =
      'run this as root; where the node is read-only, `noost containerd print` has what to configure in its own way';
    return [{level: 'error', code: 'not-writable', message, todo}];
  }
}

function aboutFile(one: Standing, all: readonly Standing[], wanted: Wanted, {path}: RuntimeFiles): Finding[] {
  const {name, mark, remains, why, text} = one;
  const file = path.endsWith(name) ? path : `${path}/${name}/hosts.toml`;
  if (why !== undefined)
    return [
      {level: 'error', code: 'file', message: `${file}: ${why}`, todo: 'correct it, then noost containerd install'},
    ];
  if (remains)
    return [
      {
        level: 'error',
        code: 'remains',
        message: `${file} holds what is left of our lines`,
        todo: 'noost containerd uninstall, and install again',
      },
    ];
  if (mark === undefined) {
    const isWanted = wanted.registries === undefined || wanted.registries.includes(one.registry);
    const isIn = all.some(({mark: other}) => other !== undefined);
    if (!isWanted || !isIn || isOfThisMachine(one.registry)) return [];
    const message = `images of ${one.registry} do not come to the agent: its folder has a configuration of its own, which hides ${DEFAULT}`;
    return [{level: 'warning', code: 'hides-default', message, todo: 'noost containerd install'}];
  }
  const {secret} = wanted.host;
  const isOther = secret !== undefined && !(text ?? '').includes(secret);
  return isOther
    ? [
        {
          level: 'error',
          code: 'secret',
          message: `${file} has another secret than the file that you named`,
          todo: 'noost containerd install with this --secret-file',
        },
      ]
    : [];
}

function isOfThisMachine(registry: string): boolean {
  return /^(?:localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)(?::\d+)?$/.test(registry);
}

function missing(folders: readonly Standing[], {registries}: Wanted): Finding[] {
  if (folders.some(({mark}) => mark !== undefined)) return [];
  const what =
    registries === undefined ? 'no folder names the agent' : `no folder of ${registries.join(', ')} names the agent`;
  return [
    {
      level: 'error',
      code: 'not-installed',
      message: what,
      todo: 'noost containerd install, or node.configure: containerd in the configuration of the agent',
    },
  ];
}

async function answers(url: string, folders: readonly Standing[]): Promise<Finding[]> {
  try {
    await ask(`${url}/v2/`);
    return [];
  } catch (error) {
    const isNamed = folders.some(({mark}) => mark?.url === url);
    const cost = isNamed
      ? ': each pull loses the time of a refused connection, and then goes to the registry itself'
      : '';
    const message = `the agent does not answer at ${url} (${(error as Error).message})${cost}`;
    return [
      {
        level: isNamed ? 'error' : 'warning',
        code: 'no-agent',
        message,
        todo: 'start it: noost agent; or noost containerd uninstall',
      },
    ];
  }
}
