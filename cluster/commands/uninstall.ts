import process from 'node:process';
import {createInterface} from 'node:readline/promises';
import {CommandError, EXIT, type Command} from '../../proc/command.ts';
import {printable} from '../../proc/printable.ts';
import {CLUSTER_FLAGS, onCluster} from '../flags.ts';
import {disarm} from '../../webhook/controller/disarm.ts';
import {removeFromNodes, type NodeRemoval} from '../remove.ts';

const MINUTES = 5;

/** `noost uninstall` */
export const command: Command = {
  flags: [
    {name: 'yes', kind: 'boolean', short: 'y', description: 'Does not ask', group: 'Uninstall'},
    {
      name: 'timeout',
      kind: 'text',
      description: 'How many minutes the nodes may take',
      shownDefault: String(MINUTES),
      group: 'Uninstall',
    },
    ...CLUSTER_FLAGS,
  ],
  positionals: [],
  examples: [['$0 uninstall && kubectl delete -k manifests/', 'takes Noost off a cluster and leaves nothing behind']],
  epilogue:
    "Switches the webhook off and has every agent give its node's files back; nothing is deleted. It ends when each node has\n" +
    'proved that no file names an agent any more, and exits with 1 if one has not. Until then nodes pull as before, afterwards\n' +
    'from the registries. `kubectl apply -k manifests/` takes it back, and so does\n' +
    '`kubectl annotate namespace noost-system noost.dev/webhook-` for the webhook.',
  run: async (typed) =>
    await onCluster(typed, async (client, {namespace, json}) => {
      const timeoutMs = readMinutes(typed.flags['timeout']) * 60_000;
      if (typed.flags['yes'] !== true) await confirm(`${namespace} on ${client.server.host}`);
      const told = (one: NodeRemoval): void => void (json || process.stderr.write(`${printable(lineOf(one))}\n`));
      if ((await disarm({client, namespace})) && !json) process.stderr.write('the webhook is switched off\n');
      const nodes = await removeFromNodes(client, namespace, {timeoutMs, told});
      if (nodes === undefined)
        throw new CommandError(
          EXIT.notFound,
          `There is no DaemonSet ${namespace}/noost-agent on ${client.server.host}`,
        );
      if (json) process.stdout.write(`${JSON.stringify({nodes})}\n`);
      else process.stdout.write(conclusion(nodes));
      return nodes.every(({clean}) => clean) ? EXIT.ok : EXIT.failed;
    }),
};

function lineOf({node, clean, why}: NodeRemoval): string {
  return `${node}: ${clean ? 'clean' : (why ?? '')}`;
}

export function conclusion(nodes: readonly NodeRemoval[]): string {
  const rest = nodes.filter(({clean}) => !clean);
  if (rest.length === 0)
    return `${String(nodes.length)} nodes are clean. Now: kubectl delete -k manifests/ (as you applied it)\n`;
  return [
    `${String(rest.length)} of ${String(nodes.length)} nodes are not clean; nothing was deleted:`,
    ...rest.map((one) => `  ${printable(lineOf(one))}`),
    'Run this again when they are ready, or on each: noost containerd uninstall',
    'A node that is gone for good needs nothing: kubectl delete node NAME',
    '',
  ].join('\n');
}

function readMinutes(text: unknown): number {
  if (text === undefined) return MINUTES;
  const minutes = Number(text);
  if (Number.isFinite(minutes) && minutes > 0 && minutes <= 1440) return minutes;
  throw new CommandError(EXIT.usage, `--timeout: expected minutes, such as 5; got ${JSON.stringify(text)}`);
}

async function confirm(where: string): Promise<void> {
  if (process.stdin.isTTY !== true)
    throw new CommandError(EXIT.usage, `This changes ${where}: say --yes where nobody can be asked`);
  const terminal = createInterface({input: process.stdin, output: process.stderr});
  try {
    const answer = await terminal.question(`Take Noost off ${where}? [y/N] `);
    if (!/^y(?:es)?$/i.test(answer.trim())) throw new CommandError(EXIT.failed, 'Nothing was changed');
  } finally {
    terminal.close();
  }
}
