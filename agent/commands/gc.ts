import process from 'node:process';
import {EXIT, type Command} from '../../proc/command.ts';
import type {Collected} from '../api/hosted.ts';
import {CLIENT_FLAGS, openAgent} from './agent-client.ts';
import {humanSize} from './human.ts';

/** A registry of a terabyte is looked through in minutes. */
const COLLECT_MS = 3600_000;

/** `noost gc` */
export const command: Command = {
  flags: CLIENT_FLAGS,
  positionals: [],
  examples: [['$0 gc', 'after removing images, without waiting for the next run']],
  epilogue:
    'The agent does this by itself, too. Pushes and pulls go on; what a push that is under way relies on stays. The cache is not touched.',
  run: async (typed) => {
    const agent = await openAgent(typed);
    const collected = await agent.ask<Collected>({method: 'POST', path: 'gc', timeoutMs: COLLECT_MS});
    process.stdout.write(typed.flags['json'] === true ? `${JSON.stringify(collected)}\n` : render(collected));
    return EXIT.ok;
  },
};

function render({blobs, uploads, freedBytes}: Collected): string {
  if (blobs === 0 && uploads === 0) return 'Nothing to free: all that is hosted is needed\n';
  return `${humanSize(freedBytes)} freed: ${String(blobs)} blobs, ${String(uploads)} abandoned uploads\n`;
}
