import process from 'node:process';
import {EXIT, type Command} from '../../proc/command.ts';
import type {HostedUsage} from '../api/hosted.ts';
import type {Usage} from '../store/contract.ts';
import {CLIENT_FLAGS, openAgent} from './agent-client.ts';
import {humanSize} from './human.ts';

/** `noost du` */
export const command: Command = {
  flags: CLIENT_FLAGS,
  positionals: [],
  examples: [['$0 du', 'how full the cache is, and what is hosted']],
  epilogue: '',
  run: async (typed) => {
    const usage = await (await openAgent(typed)).ask<WithHosted>({method: 'GET', path: 'usage'});
    process.stdout.write(typed.flags['json'] === true ? `${JSON.stringify(usage)}\n` : render(usage));
    return EXIT.ok;
  },
};

type WithHosted = Usage & {readonly hosted?: HostedUsage};

function render(usage: WithHosted): string {
  const share = usage.maxBytes === 0 ? 0 : Math.round((usage.sizeBytes / usage.maxBytes) * 100);
  const lines = [
    ['Cache', `${humanSize(usage.sizeBytes)} of ${humanSize(usage.maxBytes)} (${String(share)} %)`],
    ['On its way', humanSize(usage.reservedBytes)],
    ['Disk free', `${humanSize(usage.diskFreeBytes)}${leftOver(usage)}`],
    ['Holds', `${String(usage.tags)} tags, ${String(usage.manifests)} manifests, ${String(usage.blobs)} blobs`],
    ...hostedLines(usage.hosted),
  ] as const;
  return lines.map(([title, text]) => `${title.padEnd(12)}${text}\n`).join('');
}

/** Said where it is less than one would think. */
function leftOver({capacityBytes, maxBytes}: Usage): string {
  return capacityBytes < maxBytes ? `, which leaves the cache ${humanSize(capacityBytes)} (cache.minFreeDisk)` : '';
}

function hostedLines(hosted: HostedUsage | undefined): [string, string][] {
  if (hosted === undefined) return [];
  const {repositories, tags, manifests, blobs, sizeBytes, uploads, uploadBytes} = hosted;
  const counts = `${String(repositories)} repositories, ${String(tags)} tags, ${String(manifests)} manifests, ${String(blobs)} blobs`;
  const lines: [string, string][] = [['Hosted', `${humanSize(sizeBytes)}: ${counts}`]];
  if (uploads > 0) lines.push(['Uploads', `${String(uploads)} under way, ${humanSize(uploadBytes)}`]);
  return lines;
}
