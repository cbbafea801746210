import process from 'node:process';
import {EXIT, type Command} from '../../proc/command.ts';
import type {ImageRecord} from '../store/contract.ts';
import {CLIENT_FLAGS, openAgent, type AgentClient} from './agent-client.ts';
import {humanAge, humanSize, shortDigest} from './human.ts';
import {renderTable} from './table.ts';

const COLUMNS = [
  {title: 'IMAGE'},
  {title: 'DIGEST'},
  {title: 'SIZE', align: 'right'},
  {title: 'STATE'},
  {title: 'USED', align: 'right'},
] as const;

/** `noost ls [match]` */
export const command: Command = {
  flags: CLIENT_FLAGS,
  positionals: [{name: 'match', description: 'Only images with this text in their name', optional: true}],
  examples: [
    ['$0 ls', 'all images'],
    ['$0 ls ghcr.io/', 'those of one registry'],
    [`$0 ls --json | jq -r '.images[].digest'`, 'for scripts'],
  ],
  epilogue:
    'SIZE is what is on disk. "complete": at least one platform is there as a whole; "partial": layers are missing, or were never asked for.',
  run: async (typed) => {
    const images = await listAll(await openAgent(typed), typed.positionals['match']);
    if (typed.flags['json'] === true) process.stdout.write(`${JSON.stringify({images})}\n`);
    else if (images.length > 0)
      process.stdout.write(
        renderTable(
          COLUMNS,
          images.map((image) => row(image, Date.now())),
        ),
      );
    else process.stderr.write(typed.positionals['match'] === undefined ? 'The cache is empty\n' : 'No image matches\n');
    return EXIT.ok;
  },
};

async function listAll(agent: AgentClient, match: string | undefined): Promise<ImageRecord[]> {
  const images: ImageRecord[] = [];
  for (let after: string | undefined = ''; after !== undefined;) {
    const query: URLSearchParams = new URLSearchParams({
      limit: '1000',
      ...(after === '' ? {} : {after}),
      ...(match === undefined ? {} : {match}),
    });
    const page: {images: ImageRecord[]; next?: string} = await agent.ask({
      method: 'GET',
      path: `images?${query.toString()}`,
    });
    images.push(...page.images);
    after = page.next;
  }
  return images;
}

function row(image: ImageRecord, now: number): string[] {
  const isDigest = image.reference.includes(':');
  const name = `${image.registry}/${image.repository}`;
  return [
    isDigest ? `${name}@${shortDigest(image.reference)}` : `${name}:${image.reference}`,
    shortDigest(image.digest),
    humanSize(image.sizeBytes),
    image.complete ? 'complete' : 'partial',
    image.usedAt > 0 ? humanAge(now - image.usedAt) : '–',
  ];
}
