import process from 'node:process';
import yargs, {type Argv} from 'yargs';
import {completionScript, completions, type Known} from './completion.ts';
import {CommandError, EXIT, type Arguments, type Command, type Flag} from './command.ts';
import {didYouMean} from './nearest.ts';
import {printable} from './printable.ts';
import {VERSION} from './version.ts';

/** A command before it is loaded: what the list of commands needs. */
interface Listed {
  readonly usage: string;
  readonly summary: string;
  load(): Promise<Command>;
}

/** Command's name → the command. Only the one that is run is loaded: `noost ls` needs no registry client. */
const COMMANDS: Readonly<Record<string, Listed>> = {
  agent: {
    usage: 'agent',
    summary: 'Runs the node agent: a registry endpoint on this machine that keeps what it serves',
    load: async () => (await import('../agent/commands/agent.ts')).command,
  },
  webhook: {
    usage: 'webhook',
    summary: 'Runs the admission webhook of a cluster: pins, rewrites and vets the images of pods',
    load: async () => (await import('../webhook/commands/webhook.ts')).command,
  },
  check: {
    usage: 'check [manifests..]',
    summary: 'Judges manifests by image policies, as the webhook would',
    load: async () => (await import('../webhook/commands/check.ts')).command,
  },
  explain: {
    usage: 'explain <image>',
    summary: 'Says what each image policy says to an image, and why',
    load: async () => (await import('../webhook/commands/explain.ts')).command,
  },
  ls: {
    usage: 'ls [match]',
    summary: 'Lists the images in the cache, and those that are hosted here',
    load: async () => (await import('../agent/commands/ls.ts')).command,
  },
  du: {
    usage: 'du',
    summary: 'Shows how much room the cache takes and may take, and what is hosted',
    load: async () => (await import('../agent/commands/du.ts')).command,
  },
  pull: {
    usage: 'pull <image>',
    summary: 'Brings an image into the cache ahead of its use',
    load: async () => (await import('../agent/commands/pull.ts')).command,
  },
  refresh: {
    usage: 'refresh <image>',
    summary: 'Asks the upstream now which image a tag is',
    load: async () => (await import('../agent/commands/refresh.ts')).command,
  },
  rm: {
    usage: 'rm <image>',
    summary: 'Drops an image from the cache, or deletes one that is hosted here',
    load: async () => (await import('../agent/commands/rm.ts')).command,
  },
  containerd: {
    usage: 'containerd <action>',
    summary: "Points this node's containerd at the agent, and back; says what is wrong with it",
    load: async () => (await import('../agent/commands/containerd.ts')).command,
  },
  history: {
    usage: 'history <image>',
    summary: 'Shows who moved a tag that is hosted here, when, from what to what',
    load: async () => (await import('../agent/commands/history.ts')).command,
  },
  gc: {
    usage: 'gc',
    summary: 'Frees the room of what is hosted here and nothing needs any more',
    load: async () => (await import('../agent/commands/gc.ts')).command,
  },
  status: {
    usage: 'status',
    summary: 'Shows all nodes of a cluster, from anywhere: what their agents do and what is wrong',
    load: async () => (await import('../cluster/commands/status.ts')).command,
  },
  uninstall: {
    usage: 'uninstall',
    summary: 'Takes Noost off a cluster: every node as it was, before anything is deleted',
    load: async () => (await import('../cluster/commands/uninstall.ts')).command,
  },
  completion: {
    usage: 'completion <shell>',
    summary: 'Prints a script that completes commands and flags',
    load: async () => completionCommand,
  },
};

const EXIT_CODES =
  'Exit codes: 0 done · 1 failed · 2 wrong usage · 3 the agent does not run · 4 no such image · 130 interrupted';

/** Runs the program. @param argv what was typed after its name. @returns the exit code. */
export async function runCli(argv: readonly string[]): Promise<number> {
  if (argv[0] === '__complete') return complete(argv.slice(1));
  const name = argv.find((word) => !word.startsWith('-'));
  const listed = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  try {
    if (name !== undefined && listed === undefined) {
      throw usageError(`There is no command ${JSON.stringify(name)}${didYouMean(name, Object.keys(COMMANDS))}`);
    }
    return await (listed === undefined ? runTopLevel(argv) : runCommand(name ?? '', listed, argv));
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    process.stderr.write(
      `noost: ${error.message
        .split('\n')
        .map((line) => printable(line))
        .join('\n')}\n`,
    );
    return error.exitCode;
  }
}

function usageError(message: string): CommandError {
  return new CommandError(EXIT.usage, `${message}\nnoost --help says more`);
}

/** The parser as all commands want it: nothing guessed, nothing converted, nothing exits by itself. */
function newParser(argv: readonly string[]): Argv {
  return yargs([...argv])
    .scriptName('noost')
    .locale('en')
    .parserConfiguration({
      'camel-case-expansion': false,
      'dot-notation': false,
      'boolean-negation': false,
      'parse-numbers': false,
      'parse-positional-numbers': false,
    })
    .exitProcess(false)
    .fail((message: string, error: Error | undefined) => {
      // yargs' own errors come as `error`, too; ours pass through.
      throw error instanceof CommandError ? error : usageError((message || (error?.message ?? '')).trim());
    })
    .version(VERSION)
    .alias('version', 'V')
    .alias('help', 'h')
    .wrap(Math.min(110, process.stdout.columns ?? 100));
}

async function runTopLevel(argv: readonly string[]): Promise<number> {
  const parser = newParser(argv).usage(
    'Noost keeps container images where they are needed, on the node.\n\nUsage: $0 <command> [flags]',
  );
  for (const {usage, summary} of Object.values(COMMANDS)) parser.command(usage, summary);
  parser
    .example('$0 agent', 'serve images on 127.0.0.1:5055, keep them in ./data')
    .example('$0 pull alpine:3.22', 'bring an image into the cache')
    .example('$0 agent --help', 'all settings')
    .epilogue(`${EXIT_CODES}\nConfiguration: docs/configuration.md`);
  refuseUnknown(argv, []);
  const typed = await parser.parseAsync();
  if (typed['help'] === true || typed['version'] === true) return EXIT.ok;
  parser.showHelp('error');
  return EXIT.usage;
}

async function runCommand(name: string, listed: Listed, argv: readonly string[]): Promise<number> {
  const command = await listed.load();
  const words = argv.filter((_, i) => i !== argv.indexOf(name));
  refuseUnknown(words, command.flags);
  const parser = newParser(words).usage(usageOf(listed, command));
  for (const flag of command.flags) addFlag(parser, flag);
  for (const [example, what] of command.examples) parser.example(example, what);
  parser.epilogue([command.epilogue, EXIT_CODES].filter((text) => text !== '').join('\n\n'));
  const typed: Readonly<Record<string, unknown>> = await parser.parseAsync();
  if (typed['help'] === true || typed['version'] === true) return EXIT.ok;
  return command.run({flags: readFlags(typed, command), ...readPositionals(typed['_'], command)});
}

function usageOf({usage, summary}: Listed, {positionals}: Command): string {
  const width = Math.max(...positionals.map(({name}) => name.length), 0);
  const lines = positionals.map(({name, description}) => `\n  ${name.padEnd(width)}  ${description}`);
  return `${summary}.\n\nUsage: $0 ${usage} [flags]${lines.length === 0 ? '' : '\n'}${lines.join('')}`;
}

function addFlag(parser: Argv, {name, kind, description, group, short, shownDefault}: Flag): void {
  parser.option(name, {
    type: kind === 'boolean' ? 'boolean' : 'string',
    describe: description,
    group: `${group}:`,
    ...(kind === 'boolean' ? {} : {requiresArg: true}),
    ...(short === undefined ? {} : {alias: short}),
    ...(shownDefault === undefined ? {} : {defaultDescription: shownDefault}),
  });
}

/** Unknown flags with a suggestion, and `--flag=value` of a boolean that is neither true nor false: yargs takes any. */
function refuseUnknown(words: readonly string[], flags: readonly Flag[]): void {
  const end = words.indexOf('--');
  for (const word of end === -1 ? words : words.slice(0, end)) {
    const [, name, value] = /^--([^=]+)(?:=(.*))?$/s.exec(word) ?? [];
    if (name === undefined || name === 'help' || name === 'version') continue;
    const flag = flags.find((candidate) => candidate.name === name);
    const names = flags.map((candidate) => `--${candidate.name}`);
    if (flag === undefined) throw usageError(`There is no flag --${name}${didYouMean(`--${name}`, names)}`);
    if (flag.kind === 'boolean' && value !== undefined && value !== 'true' && value !== 'false') {
      throw usageError(`--${name}: expected true or false; got ${JSON.stringify(value)}`);
    }
  }
}

function readFlags(typed: Readonly<Record<string, unknown>>, command: Command): Arguments['flags'] {
  const flags: Record<string, string | boolean | readonly string[] | undefined> = {};
  const shorts = new Set(['_', 'h', 'V', ...command.flags.map(({short}) => short)]);
  const unknown = Object.keys(typed).find((key) => key.length === 1 && !shorts.has(key));
  if (unknown !== undefined) throw usageError(`There is no flag -${unknown}`);
  for (const {name, many} of command.flags) {
    const value = typed[name];
    if (value === undefined) continue;
    if (Array.isArray(value) && many !== true) throw usageError(`--${name} is there twice`);
    if (many === true) flags[name] = [value].flat().map(String);
    else flags[name] = typeof value === 'boolean' ? value : String(value as string);
  }
  return flags;
}

function readPositionals(typed: unknown, {positionals}: Command): Pick<Arguments, 'positionals' | 'rest'> {
  const words = Array.isArray(typed) ? typed.map(String) : [];
  const takesMany = positionals.at(-1)?.many === true;
  const surplus = takesMany ? undefined : words[positionals.length];
  if (surplus !== undefined) throw usageError(`What is ${JSON.stringify(surplus)}? It is one word too many`);
  for (const [i, {name, optional, choices}] of positionals.entries()) {
    const word = words[i];
    if (word === undefined && optional !== true) throw usageError(`<${name}> is missing`);
    if (word !== undefined && choices !== undefined && !choices.includes(word))
      throw usageError(`<${name}>: expected ${choices.join(' or ')}`);
  }
  return {
    positionals: Object.fromEntries(positionals.map(({name}, i) => [name, words[i]])),
    rest: takesMany ? words.slice(positionals.length - 1) : [],
  };
}

const completionCommand: Command = {
  flags: [],
  positionals: [{name: 'shell', description: 'Which shell', choices: ['bash', 'zsh']}],
  epilogue: '',
  examples: [
    ['source <($0 completion bash)', 'in ~/.bashrc'],
    ['source <($0 completion zsh)', 'in ~/.zshrc, after compinit'],
  ],
  run: ({positionals}) => {
    process.stdout.write(completionScript(positionals['shell'] === 'zsh' ? 'zsh' : 'bash'));
    return Promise.resolve(EXIT.ok);
  },
};

/** `noost __complete WORD…`: what may follow, a line each. The last word is the one being typed. */
async function complete(words: readonly string[]): Promise<number> {
  const commands: Known[] = Object.entries(COMMANDS).map(([name, {summary}]) => ({name, summary}));
  const name = words.slice(0, -1).find((word) => !word.startsWith('-'));
  const command = name !== undefined && Object.hasOwn(COMMANDS, name) ? await COMMANDS[name]?.load() : undefined;
  process.stdout.write(
    completions(words, commands, command)
      .map((line) => `${line}\n`)
      .join(''),
  );
  return EXIT.ok;
}

/** `noost ls | head`: who reads has had enough. */
function onOutputError(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error;
  process.exit(EXIT.failed);
}

/** Runs what was typed, and ends with its exit code. */
export async function runProgram(): Promise<void> {
  process.stdout.on('error', onOutputError);
  process.exitCode = await runCli(process.argv.slice(2));
}

if (import.meta.main) await runProgram();
