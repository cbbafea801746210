import {readFile} from 'node:fs/promises';
import process from 'node:process';
import {parseRegistry} from '../../oci/reference.ts';
import {CommandError, EXIT, type Arguments, type Command, type Flag} from '../../proc/command.ts';
import {reasonOf, type Outcome, type Wanted} from '../node/certs-dir.ts';
import {diagnose, type Report} from '../node/doctor.ts';
import {MANUAL} from '../node/hosts-file.ts';
import {ask} from '../node/keeper.ts';
import {parseSecret} from '../node/node-secret.ts';
import {RUNTIMES, runtimeFiles, type Runtime, type RuntimeFiles} from '../node/runtime-files.ts';
import {readOwn, readOwnSecret} from './containerd-config.ts';
import {printFiles} from './containerd-print.ts';
import {renderOutcomes, renderReport, renderStanding} from './containerd-text.ts';

const ACTIONS = ['install', 'uninstall', 'doctor', 'status', 'print'] as const;
const DEFAULT_URL = 'http://127.0.0.1:5055';

const FLAGS: readonly Flag[] = [
  {
    name: 'runtime',
    kind: 'text',
    choices: RUNTIMES,
    description: 'Which files: containerd, crio (a drop-in), k3s or rke2 (registries.yaml, read when they start)',
    shownDefault: 'containerd, also that of k3s and RKE2',
    group: 'Node',
  },
  {
    name: 'config',
    kind: 'text',
    short: 'c',
    description: "The agent's configuration, which may have all that follows (NOOST_CONFIG)",
    group: 'Agent',
  },
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
  readonly root: string;
  readonly runtime: Runtime;
  readonly files: RuntimeFiles;
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
        return await doUninstall(asked);
      case 'status':
        return await doStatus(asked);
      case 'doctor':
        return await doDoctor(asked);
      case 'print':
        process.stdout.write(printFiles(asked.runtime, asked.files, asked.wanted, asked.json));
        return EXIT.ok;
    }
  } catch (error) {
    throw new CommandError(EXIT.failed, `${asked.files.path}: ${reasonOf(error)}`, {cause: error});
  }
}

/** What is typed beats variables, and these beat the agent's own configuration. */
async function read(flags: Arguments['flags']): Promise<Asked> {
  const text = (name: string, variable?: string): string | undefined => {
    const said = flags[name] ?? (variable === undefined ? undefined : process.env[variable]);
    return typeof said === 'string' && said !== '' ? said : undefined;
  };
  const own = await readOwn(text('config', 'NOOST_CONFIG'));
  const runtime = oneOf('runtime', RUNTIMES, text('runtime') ?? own.runtime ?? 'containerd');
  const order = oneOf('order', ['first', 'last'] as const, text('order') ?? own.order ?? 'first');
  const registries = [flags['registry'] ?? []].flat().map((one) => readRegistry(String(one)));
  const url = readUrl(text('url') ?? own.url ?? DEFAULT_URL);
  const secretFile = text('secret-file', 'NOOST_SECRET_FILE');
  const secret = secretFile === undefined ? await readOwnSecret(own.secretFile) : await readSecret(secretFile);
  const root = text('host-root', 'NOOST_NODE_HOST_ROOT') ?? own.hostRoot ?? '/';
  const files = await runtimeFiles(runtime, {
    root,
    configFile: text('containerd-config', 'NOOST_NODE_CONTAINERD_CONFIG') ?? own.containerdConfig,
    certsPath: text('certs-dir', 'NOOST_NODE_CERTS_DIR') ?? own.certsDir,
  });
  const wanted = {host: {url, secret, order}, registries: registries.length === 0 ? own.registries : registries};
  return {root, runtime, files, wanted, json: flags['json'] === true};
}

function oneOf<T extends string>(flag: string, choices: readonly T[], text: string): T {
  const found = choices.find((choice) => choice === text);
  if (found === undefined)
    throw new CommandError(EXIT.usage, `--${flag}: expected ${choices.join(' or ')}; got ${JSON.stringify(text)}`);
  return found;
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

async function readSecret(file: string): Promise<string> {
  try {
    return parseSecret(await readFile(file, 'utf8'));
  } catch (error) {
    const why =
      error instanceof SyntaxError ? 'it holds no secret of 16 printable characters or more' : (error as Error).message;
    throw new CommandError(EXIT.failed, `--secret-file ${file}: ${why}`, {cause: error});
  }
}

async function doInstall(asked: Asked): Promise<number> {
  const {root, files, wanted, json} = asked;
  const outcomes = await files.install(wanted, {owner: MANUAL, since: new Date()});
  const isThere = outcomes.some(({did}) => did === 'written' || did === 'unchanged');
  const ended = print(asked, outcomes);
  const code = isThere ? ended : EXIT.failed;
  if (json) return code;
  if (isThere && files.afterwards !== undefined) process.stdout.write(`Now: ${files.afterwards}\n`);
  const report = await diagnose(root, files, wanted);
  if (report.problems.length > 0) process.stdout.write(`\n${renderReport(report)}`);
  return code;
}

async function doUninstall(asked: Asked): Promise<number> {
  const {files, json} = asked;
  const before = await files.inspect();
  const code = print(asked, await files.uninstall());
  if (json) return code;
  if (files.afterwards !== undefined) process.stdout.write(`Now: ${files.afterwards}\n`);
  const agent = before.find(({mark}) => mark !== undefined && mark.owner !== MANUAL)?.mark?.url;
  const runs =
    agent !== undefined &&
    (await ask(`${agent}/v2/`).then(
      () => true,
      () => false,
    ));
  if (runs)
    process.stdout.write(
      `The agent at ${agent} runs and has node.configure: it writes them again within seconds. Set that to none, or stop it.\n`,
    );
  return code;
}

function print({json, files}: Asked, outcomes: readonly Outcome[]): number {
  process.stdout.write(
    json ? `${JSON.stringify({path: files.path, files: outcomes})}\n` : renderOutcomes(files.path, outcomes),
  );
  return outcomes.some(({did}) => did === 'failed') ? EXIT.failed : EXIT.ok;
}

async function doStatus({files, json}: Asked): Promise<number> {
  const standings = await files.inspect();
  // Neither the secret nor the text, in which it is.
  const found = {
    path: files.path,
    runtime: files.name,
    files: standings.map(({name, registry, mark, remains, why}) => ({
      name,
      registry,
      agent: mark?.url,
      owner: mark?.owner,
      remains,
      why,
    })),
  };
  process.stdout.write(json ? `${JSON.stringify(found)}\n` : renderStanding(found));
  return EXIT.ok;
}

async function doDoctor({root, files, wanted, json}: Asked): Promise<number> {
  const report: Report = await diagnose(root, files, wanted);
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : renderReport(report));
  return report.problems.some(({level}) => level === 'error') ? EXIT.failed : EXIT.ok;
}
