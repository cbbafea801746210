import process from 'node:process';
import {EXIT, type Command} from '../../proc/command.ts';
import type {Usage} from '../store/contract.ts';
import {CLIENT_FLAGS, openAgent} from './agent-client.ts';
import {humanSize} from './human.ts';

/** `noost du` */
export const command: Command = {
  flags: CLIENT_FLAGS,
  positionals: [],
  examples: [['$0 du', 'how full the cache is']],
  epilogue: '',
  run: async (typed) => {
    const usage = await (await openAgent(typed)).ask<Usage>({method: 'GET', path: 'usage'});
    process.stdout.write(typed.flags['json'] === true ? `${JSON.stringify(usage)}\n` : render(usage));
    return EXIT.ok;
  },
};

function render(usage: Usage): string {
  const share = usage.maxBytes === 0 ? 0 : Math.round((usage.sizeBytes / usage.maxBytes) * 100);
  const lines = [
    ['Cache', `${humanSize(usage.sizeBytes)} of ${humanSize(usage.maxBytes)} (${String(share)} %)`],
    ['On its way', humanSize(usage.reservedBytes)],
    ['Disk free', humanSize(usage.diskFreeBytes)],
    ['Holds', `${String(usage.tags)} tags, ${String(usage.manifests)} manifests, ${String(usage.blobs)} blobs`],
  ] as const;
  return lines.map(([title, text]) => `${title.padEnd(12)}${text}\n`).join('');
}
