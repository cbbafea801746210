import process from 'node:process';
import {EXIT, type Command} from '../../proc/command.ts';
import {humanSize} from '../../agent/commands/human.ts';
import {printable} from '../../proc/printable.ts';
import {renderTable} from '../../proc/table.ts';
import {CLUSTER_FLAGS, onCluster} from '../flags.ts';
import {SWITCH} from '../../webhook/controller/arming.ts';
import {readFleet, type Fleet, type NodeStatus} from '../fleet.ts';

const COLUMNS = [
  {title: 'NODE'},
  {title: 'AGENT'},
  {title: 'VERSION'},
  {title: 'CACHE', align: 'right'},
  {title: 'SERVED', align: 'right'},
  {title: 'SAVED', align: 'right'},
  {title: 'CONTAINERD'},
] as const;

/** `noost status` */
export const command: Command = {
  flags: CLUSTER_FLAGS,
  positionals: [],
  examples: [
    ['$0 status', 'all nodes, and what is wrong with which'],
    ['$0 status --json | jq -r ".nodes[] | select(.ready | not).node"', 'for scripts'],
  ],
  epilogue:
    'Asked through the API server, with your own rights: list pods in the namespace of Noost is the least. get of pods/proxy,\n' +
    'of its DaemonSet and Deployment and of the webhook configurations, and list nodes show more; what you may not see is\n' +
    'named. It exits with 1 if something that it sees is wrong. CACHE is what it holds, of what it may hold as the disk is now.\n' +
    'SERVED and SAVED count since the agent of that node began.',
  run: async (typed) =>
    await onCluster(typed, async (client, {namespace, json}) => {
      const fleet = await readFleet(client, namespace);
      process.stdout.write(json ? `${JSON.stringify(fleet)}\n` : renderFleet(fleet));
      return problemsOf(fleet).length === 0 ? EXIT.ok : EXIT.failed;
    }),
};

/** Everything that is wrong, a line each. */
export function problemsOf({nodes, webhook, problems}: Fleet): readonly string[] {
  const ofWebhook =
    webhook === undefined || (webhook.ready >= webhook.wanted && webhook.wanted > 0)
      ? []
      : [`webhook: ${String(webhook.ready)} of ${String(webhook.wanted)} replicas are ready`];
  return [
    ...problems,
    ...nodes.flatMap(({node, problems: ofNode}) => ofNode.map((one) => `${node}: ${one}`)),
    ...ofWebhook,
  ];
}

export function renderFleet(fleet: Fleet): string {
  const {nodes, webhook, hidden} = fleet;
  const parts = nodes.length === 0 ? [] : [renderTable(COLUMNS, nodes.map(row))];
  if (webhook !== undefined) {
    parts.push(`Webhook: ${String(webhook.ready)} of ${String(webhook.wanted)} replicas ready${armed(webhook)}\n`);
  }
  const problems = problemsOf(fleet);
  if (problems.length > 0) parts.push(problems.map((one) => `! ${printable(one)}\n`).join(''));
  if (hidden.length > 0) parts.push(`You may not see:\n${hidden.map((one) => `  ${one}\n`).join('')}`);
  return parts.join('\n');
}

function armed({failurePolicy, switch: position}: NonNullable<Fleet['webhook']>): string {
  const said = position === undefined ? '' : `${SWITCH}=${position} on its namespace`;
  if (failurePolicy === 'hidden') return said === '' ? '' : `, ${said}`;
  if (failurePolicy === undefined) {
    // A replica that runs takes its configurations away a moment after the switch, not before.
    return position === 'off' ? `, switched off (${said}; "${SWITCH}-" puts it back)` : ', not armed';
  }
  return `, armed, failurePolicy ${failurePolicy}${said === '' ? '' : ` (${said})`}`;
}

function row(status: NodeStatus): string[] {
  const {node, pod, ready, version, cacheBytes, cacheMaxBytes, servedBytes, savedBytes, folders} = status;
  return [
    node,
    pod === undefined ? 'none' : ready ? 'ready' : 'not ready',
    version ?? '–',
    cacheBytes === undefined ? '–' : `${humanSize(cacheBytes)} of ${humanSize(cacheMaxBytes ?? 0)}`,
    size(servedBytes),
    size(savedBytes),
    folders === undefined ? '–' : folders > 0 ? 'asks the agent' : 'does not ask the agent',
  ];
}

function size(bytes: number | undefined): string {
  return bytes === undefined ? '–' : humanSize(bytes);
}
