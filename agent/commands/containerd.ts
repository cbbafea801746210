import {readFile} from 'node:fs/promises';
import process from 'node:process';
import {parseRegistry} from '../../oci/reference.ts';
import {CommandError, EXIT, type Arguments, type Command, type Flag} from '../../proc/command.ts';
import {inspect, install, reasonOf, uninstall, type CertsDir, type Outcome, type Wanted} from '../node/certs-dir.ts';
import {diagnose, type Report} from '../node/doctor.ts';
import {MANUAL} from '../node/hosts-file.ts';
import {mergeHosts, type AgentHost} from '../node/hosts-merge.ts';
import {findLayout, type Layout} from '../node/layout.ts';
import {parseSecret} from '../node/node-secret.ts';
import {configLines} from '../node/findings.ts';
import {renderOutcomes, renderReport, renderStanding} from './containerd-text.ts';

const ACTIONS = ['install', 'uninstall', 'doctor', 'status', 'print'] as const;
const DEFAULT_URL = 'http://127.0.0.1:5055';

const FLAGS: readonly Flag[] = [
  {
    name: 'host-root',
    kind: 'text',
    description: "Where the node's file system is (NOOST_NODE_HOST_ROOT)",
    shownDefault: '/',
    group: 'Node',
  },
  {
    name: 'containerd-config',
    kind: 'text',
    description: "containerd's configuration (NOOST_NODE_CONTAINERD_CONFIG)",
    shownDefault: 'where containerd, k3s, RKE2, k0s or MicroK8s has it',
    group: 'Node',
  },
  {
    name: 'certs-dir',
    kind: 'text',
    description: 'The folder with a folder for each registry (NOOST_NODE_CERTS_DIR)',
    shownDefault: 'as the configuration says',
    group: 'Node',
  },
  {
    name: 'url',
    kind: 'text',
    description: 'The agent, as containerd reaches it',
    shownDefault: DEFAULT_URL,
    group: 'Agent',
  },
  {
    name: 'secret-file',
    kind: 'text',
    description: "A file with the node's secret, the same as the agent's (NOOST_SECRET_FILE)",
    shownDefault: 'none: private images are then not served from the cache',
    group: 'Agent',
  },
  {
    name: 'registry',
    kind: 'text',
    many: true,
    description: 'Only images of this registry; more than once for more',
    group: 'What',
  },
  {
    name: 'order',
    kind: 'text',
    choices: ['first', 'last'],
    description: 'Before or after the hosts that a file names already: first or last',
    shownDefault: 'first',
    group: 'What',
  },
  {name: 'json', kind: 'boolean', description: 'Prints JSON', group: 'Output'},
];

/** `noost containerd`: the node's host configuration, by hand. An agent with `node.configure` does the same by itself. */
export const command: Command = {
  flags: FLAGS,
  positionals: [{name: 'action', description: ACTIONS.join(', '), choices: ACTIONS}],
  examples: [
    ['$0 containerd install --secret-file /var/lib/noost/node-secret', 'containerd asks the agent first from now on'],
    ['$0 containerd doctor', 'what is wrong, and what to type'],
    ['$0 containerd status', 'which folders name the agent'],
    ['$0 containerd uninstall', 'gives back every file as it was'],
    ['$0 containerd print', 'what to write where nothing can be written from here'],
  ],
  epilogue:
    'Nothing has to be restarted: containerd reads these files at each pull. doctor exits with 1 if something is wrong.\n' +
    'docs/node.md has what is written, and for which nodes.',
  run,
};

/** What was typed, and what was found of it. */
interface Asked {
  readonly layout: Layout;
  readonly certs: CertsDir;
  readonly wanted: Wanted;
  readonly json: boolean;
}

async function run({flags, positionals}: Arguments): Promise<number> {
  const asked = await read(flags);
  try {
    switch (
      positionals['action'] as (typeof ACTIONS)[number] // checked by the command line
    ) {
      case 'install':
        return await doInstall(asked);
      case 'uninstall':
        return print(asked, await uninstall(asked.certs), renderOutcomes);
      case 'status':
        return await doStatus(asked);
      case 'doctor':
        return await doDoctor(asked);
      case 'print':
        return doPrint(asked);
    }
  } catch (error) {
    throw new CommandError(EXIT.failed, `${asked.certs.path}: ${reasonOf(error)}`, {cause: error});
  }
}

async function read(flags: Arguments['flags']): Promise<Asked> {
  const text = (name: string, variable?: string): string | undefined => {
    const said = flags[name] ?? (variable === undefined ? undefined : process.env[variable]);
    return typeof said === 'string' && said !== '' ? said : undefined;
  };
  const root = text('host-root', 'NOOST_NODE_HOST_ROOT') ?? '/';
  const layout = await findLayout({
    root,
    configFile: text('containerd-config', 'NOOST_NODE_CONTAINERD_CONFIG'),
    certsPath: text('certs-dir', 'NOOST_NODE_CERTS_DIR'),
  });
  const order = text('order') ?? 'first';
  if (order !== 'first' && order !== 'last') throw new CommandError(EXIT.usage, '--order: expected first or last');
  const registries = [flags['registry'] ?? []].flat().map((one) => readRegistry(String(one)));
  const host: AgentHost = {
    url: readUrl(text('url') ?? DEFAULT_URL),
    secret: await readSecret(text('secret-file', 'NOOST_SECRET_FILE')),
    order,
  };
  return {
    layout,
    certs: {root, path: layout.certsPath},
    wanted: {host, registries: registries.length === 0 ? undefined : registries},
    json: flags['json'] === true,
  } as const;
}

function readRegistry(text: string): string {
  try {
    return parseRegistry(text);
  } catch (error) {
    throw new CommandError(EXIT.usage, `--registry: expected a registry such as ghcr.io; got ${JSON.stringify(text)}`, {
      cause: error,
    });
  }
}

/** Only an address: a path would have to be the registry's own, and TLS options are not for plain http (B-009, B-012). */
function readUrl(text: string): string {
  const url = URL.parse(text);
  if (url?.protocol !== 'http:' || url.pathname !== '/' || url.search !== '' || url.hash !== '' || url.username !== '')
    throw new CommandError(EXIT.usage, `--url: expected http://HOST:PORT; got ${JSON.stringify(text)}`);
  return `http://${url.host}`;
}

async function readSecret(file: string | undefined): Promise<string | undefined> {
  if (file === undefined) return undefined;
  try {
    return parseSecret(await readFile(file, 'utf8'));
  } catch (error) {
    const why =
      error instanceof SyntaxError ? 'it holds no secret of 16 printable characters or more' : (error as Error).message;
    throw new CommandError(EXIT.failed, `--secret-file ${file}: ${why}`, {cause: error});
  }
}

async function doInstall(asked: Asked): Promise<number> {
  const {certs, wanted, json, layout} = asked;
  const outcomes = await install(certs, wanted, {owner: MANUAL, since: new Date()});
  const code = print(asked, outcomes, renderOutcomes);
  if (json) return code;
  const report = await diagnose(layout, certs, wanted);
  if (report.problems.length > 0) process.stdout.write(`\n${renderReport(report)}`);
  return code;
}

function print<T extends readonly Outcome[]>(
  {json, certs}: Asked,
  outcomes: T,
  render: (path: string, what: T) => string,
): number {
  process.stdout.write(
    json ? `${JSON.stringify({certsDir: certs.path, folders: outcomes})}\n` : render(certs.path, outcomes),
  );
  return outcomes.some(({did}) => did === 'failed') ? EXIT.failed : EXIT.ok;
}

async function doStatus({certs, json, layout}: Asked): Promise<number> {
  const standings = await inspect(certs);
  // Neither the secret nor the text, in which it is.
  const folders = standings.map(({name, registry, mark, remains, why}) => ({
    name,
    registry,
    agent: mark?.url,
    owner: mark?.owner,
    remains,
    why,
  }));
  const found = {certsDir: certs.path, containerd: layout.distribution.name, folders};
  process.stdout.write(json ? `${JSON.stringify(found)}\n` : renderStanding(found));
  return EXIT.ok;
}

async function doDoctor({certs, wanted, json, layout}: Asked): Promise<number> {
  const report: Report = await diagnose(layout, certs, wanted);
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : renderReport(report));
  return report.problems.some(({level}) => level === 'error') ? EXIT.failed : EXIT.ok;
}

function doPrint({certs, wanted, layout, json}: Asked): number {
  const secret = wanted.host.secret === undefined ? undefined : 'WHAT-THE-SECRET-FILE-HOLDS';
  const noted = {owner: MANUAL, since: '', mode: '644', made: 1};
  const merged = mergeHosts('', {...wanted.host, secret}, {ca: [], client: []}, noted);
  const hosts = merged
    .split('\n')
    .filter((line) => !line.startsWith('#'))
    .join('\n');
  const files = (wanted.registries ?? ['_default']).map(
    (name) => `${certs.path}/${name.replace(/:(\d+)$/, '_$1_')}/hosts.toml`,
  );
  const config = configLines(layout.config?.version ?? 2, certs.path);
  if (json)
    process.stdout.write(
      `${JSON.stringify({files, hosts, containerdConfig: layout.distribution.configFile, config})}\n`,
    );
  else {
    process.stdout.write(files.map((file) => `# ${file}\n`).join('') + hosts);
    process.stdout.write(`\n# ${layout.distribution.configFile}, and then: ${layout.distribution.restart}\n${config}`);
  }
  return EXIT.ok;
}
