import process from 'node:process';
import {createInterface} from 'node:readline';
import {CommandError, EXIT, type Arguments, type Command} from '../../proc/command.ts';
import {printable} from '../../proc/printable.ts';
import type {Pulled} from '../api/backend.ts';
import type {PullLine} from '../api/pull.ts';
import {CLIENT_FLAGS, exitCodeOf, openAgent} from './agent-client.ts';
import {humanSize} from './human.ts';
import {Progress} from './progress.ts';
import {readImage} from './read-image.ts';

/** `noost pull IMAGE` */
export const command: Command = {
  flags: [
    {
      name: 'platform',
      kind: 'text',
      short: 'p',
      many: true,
      description: 'For os/architecture[/variant]; may be said more than once',
      shownDefault: 'this machine',
      group: 'What',
    },
    {name: 'all-platforms', kind: 'boolean', description: 'For every platform the image has', group: 'What'},
    ...CLIENT_FLAGS,
  ],
  positionals: [{name: 'image', description: 'As in a pod: alpine:3.22, ghcr.io/team/app@sha256:…'}],
  examples: [
    ['$0 pull alpine:3.22', "for this machine's platform"],
    ['$0 pull ghcr.io/team/app:v2 -p linux/arm64', 'for another'],
    ['$0 pull docker.io/library/alpine@sha256:… --all-platforms', 'everything below a digest'],
  ],
  epilogue:
    'Ctrl-C stops it; what has arrived stays and need not be fetched again. With --json: what happens, an object a line.',
  run,
};

async function run(typed: Arguments): Promise<number> {
  const image = readImage(typed.positionals['image']);
  const stop = new AbortController();
  const onInterrupt = (): void => stop.abort();
  process.once('SIGINT', onInterrupt);
  try {
    return await pull(typed, image, stop.signal);
  } catch (error) {
    throw stop.signal.aborted
      ? new CommandError(EXIT.interrupted, 'Stopped; what has arrived stays', {cause: error})
      : error;
  } finally {
    process.off('SIGINT', onInterrupt);
  }
}

async function pull(typed: Arguments, image: string, signal: AbortSignal): Promise<number> {
  const agent = await openAgent(typed);
  const answer = await agent.open({
    method: 'POST',
    path: 'pull',
    body: {reference: image, platforms: platformsOf(typed)},
    signal,
  });
  const isJson = typed.flags['json'] === true;
  const progress = new Progress(process.stderr, image, Date.now);
  try {
    for await (const text of createInterface({input: answer, crlfDelay: Infinity})) {
      const line = JSON.parse(text) as PullLine; // our own program at the other end
      if (isJson) process.stdout.write(`${printable(text, text.length)}\n`);
      if (line.event === 'error') throw new CommandError(exitCodeOf(line.status), line.message);
      if (line.event !== 'done') {
        if (!isJson) progress.show(line);
        continue;
      }
      progress.clear();
      if (!isJson) process.stdout.write(render(image, line));
      return EXIT.ok;
    }
  } finally {
    progress.clear();
  }
  throw new CommandError(EXIT.failed, 'The agent stopped before the image was there; what has arrived stays');
}

function render(image: string, {digest, blobs, totalBytes, fetchedBytes}: Pulled): string {
  const rest = fetchedBytes === totalBytes ? '' : `, ${humanSize(totalBytes - fetchedBytes)} were here`;
  return `Pulled ${image}\n  ${digest}\n  ${String(blobs)} blobs, ${humanSize(totalBytes)}: ${humanSize(fetchedBytes)} fetched${rest}; every digest verified\n`;
}

/** Node's name of an architecture → OCI's. */
const ARCHITECTURES: Readonly<Partial<Record<NodeJS.Architecture, string>>> = {
  x64: 'amd64',
  ia32: '386',
  loong64: 'loong64',
  ppc64: 'ppc64le',
};

function platformsOf({flags}: Arguments): readonly string[] | 'all' {
  const said = flags['platform'];
  if (flags['all-platforms'] === true) {
    if (said !== undefined) throw new CommandError(EXIT.usage, 'Say --platform or --all-platforms, not both');
    return 'all';
  }
  if (Array.isArray(said)) return said as readonly string[]; // `many` gives a list of texts
  return [`linux/${ARCHITECTURES[process.arch] ?? process.arch}`];
}
