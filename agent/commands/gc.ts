import process from 'node:process';
import {CommandError, EXIT, type Arguments, type Command} from '../../proc/command.ts';
import type {CollectAnswer} from '../api/hosted.ts';
import {CLIENT_FLAGS, openAgent} from './agent-client.ts';
import {humanSize} from './human.ts';

/** A registry of a terabyte is looked through in minutes. */
const COLLECT_MS = 3600_000;

/** `noost gc` */
export const command: Command = {
  flags: [
    {
      name: 'untagged',
      kind: 'text',
      description: 'Remove manifests, too, that no tag and no index has had for so long: 30d, 12h',
      group: 'Images',
    },
    {name: 'dry-run', kind: 'boolean', description: 'Only list what --untagged would remove', group: 'Images'},
    ...CLIENT_FLAGS,
  ],
  positionals: [],
  examples: [
    ['$0 gc', 'after removing images, without waiting for the next run'],
    ['$0 gc --untagged 30d --dry-run', 'what no tag has been at for 30 days'],
    ['$0 gc --untagged 30d', 'remove it, and free its room'],
  ],
  epilogue:
    'The agent does this by itself, too. Pushes and pulls go on; what a push that is under way relies on stays. The cache is not touched.\n' +
    'Untagged manifests go only by --untagged: pods that run one by its digest cannot pull it any more, and there is no way\n' +
    'back but to push again. Signatures go with what they sign. What tags with a history had counts from when they left it.',
  run: async (typed) => {
    const agent = await openAgent(typed);
    const path = pathFor(typed);
    const collected = await agent.ask<CollectAnswer>({method: 'POST', path, timeoutMs: COLLECT_MS});
    process.stdout.write(typed.flags['json'] === true ? `${JSON.stringify(collected)}\n` : render(typed, collected));
    return EXIT.ok;
  },
};

function pathFor({flags}: Arguments): string {
  const {untagged} = flags;
  const dryRun = flags['dry-run'] === true;
  if (typeof untagged === 'string') return `gc?${new URLSearchParams({untagged, dryRun: String(dryRun)}).toString()}`;
  if (dryRun)
    throw new CommandError(EXIT.usage, '--dry-run is for --untagged: say from what age on, e.g. --untagged 30d');
  return 'gc';
}

function render({flags}: Arguments, {blobs, uploads, freedBytes, untagged}: CollectAnswer): string {
  const dryRun = flags['dry-run'] === true;
  const lines = (untagged ?? []).map(({repository, digest}) => `${dryRun ? '' : 'Removed '}${repository}@${digest}`);
  if (dryRun) lines.push(`${String(lines.length)} untagged manifests would be removed`);
  else if (blobs === 0 && uploads === 0 && lines.length === 0)
    lines.push('Nothing to free: all that is hosted is needed');
  else lines.push(`${humanSize(freedBytes)} freed: ${String(blobs)} blobs, ${String(uploads)} abandoned uploads`);
  return `${lines.join('\n')}\n`;
}
