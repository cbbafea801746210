import process from 'node:process';
import {EXIT, type Command} from '../../proc/command.ts';
import type {HostedImage} from '../api/hosted.ts';
import type {ImageRecord} from '../store/contract.ts';
import {CLIENT_FLAGS, openAgent, type AgentClient} from './agent-client.ts';
import {humanAge, humanSize, shortDigest} from './human.ts';
import {renderTable} from '../../proc/table.ts';

const COLUMNS = [
  {title: 'IMAGE'},
  {title: 'DIGEST'},
  {title: 'SIZE', align: 'right'},
  {title: 'STATE'},
  {title: 'USED', align: 'right'},
] as const;

const HOSTED_COLUMNS = [
  {title: 'IMAGE'},
  {title: 'DIGEST'},
  {title: 'SIZE', align: 'right'},
  {title: 'PUSHED', align: 'right'},
  {title: 'BY'},
] as const;

interface Hosted {
  /** How clients name this registry. */
  readonly host: string | undefined;
  readonly images: readonly HostedImage[];
}

/** `noost ls [match]` */
export const command: Command = {
  flags: [
    {name: 'hosted', kind: 'boolean', description: 'Only what is hosted here, and who pushed it', group: 'Images'},
    ...CLIENT_FLAGS,
  ],
  positionals: [{name: 'match', description: 'Only images with this text in their name', optional: true}],
  examples: [
    ['$0 ls', 'all images'],
    ['$0 ls ghcr.io/', 'those of one registry'],
    ['$0 ls --hosted', 'the tags of the registry that this agent is'],
    [`$0 ls --json | jq -r '.images[].digest'`, 'for scripts'],
  ],
  epilogue:
    'SIZE is what is on disk. "complete": at least one platform is there as a whole; "partial": layers are missing, or were never asked for;\n' +
    '"hosted": pushed to this agent, and kept until it is deleted.',
  run: async (typed) => {
    const agent = await openAgent(typed);
    const match = typed.positionals['match'];
    const onlyHosted = typed.flags['hosted'] === true;
    const hosted = await listHosted(agent, match);
    const images = onlyHosted ? [] : await listAll(agent, match);
    if (typed.flags['json'] === true)
      process.stdout.write(
        `${JSON.stringify(onlyHosted ? {hosted: hosted.images} : {images, hosted: hosted.images})}\n`,
      );
    else if (images.length + hosted.images.length === 0)
      process.stderr.write(
        match !== undefined ? 'No image matches\n' : onlyHosted ? 'Nothing is hosted here\n' : 'The cache is empty\n',
      );
    else process.stdout.write(render({images, hosted, onlyHosted}, Date.now()));
    return EXIT.ok;
  },
};

async function listAll(agent: AgentClient, match: string | undefined): Promise<ImageRecord[]> {
  return (await listPages<ImageRecord>(agent, 'images', match)).images;
}

async function listHosted(agent: AgentClient, match: string | undefined): Promise<Hosted> {
  return listPages<HostedImage>(agent, 'hosted', match);
}

async function listPages<T>(
  agent: AgentClient,
  endpoint: 'images' | 'hosted',
  match: string | undefined,
): Promise<{host: string | undefined; images: T[]}> {
  const images: T[] = [];
  let host: string | undefined;
  for (let after: string | undefined = ''; after !== undefined;) {
    const query: URLSearchParams = new URLSearchParams({
      limit: '1000',
      ...(after === '' ? {} : {after}),
      ...(match === undefined ? {} : {match}),
    });
    const page: {images: T[]; next?: string; host?: string} = await agent.ask({
      method: 'GET',
      path: `${endpoint}?${query.toString()}`,
    });
    images.push(...page.images);
    ({next: after, host} = page);
  }
  return {host, images};
}

function render(
  {images, hosted, onlyHosted}: {images: readonly ImageRecord[]; hosted: Hosted; onlyHosted: boolean},
  now: number,
): string {
  const ours = hosted.images.map((image) => {
    const name = `${hosted.host === undefined ? '' : `${hosted.host}/`}${image.repository}:${image.tag}`;
    const [digest, size] = [shortDigest(image.digest), humanSize(image.sizeBytes)];
    const age = humanAge(now - image.movedAt);
    return onlyHosted ? [name, digest, size, age, image.by ?? '–'] : [name, digest, size, 'hosted', age];
  });
  return onlyHosted
    ? renderTable(HOSTED_COLUMNS, ours)
    : renderTable(COLUMNS, [...ours, ...images.map((image) => row(image, now))]);
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
