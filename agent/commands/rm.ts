import process from 'node:process';
import {EXIT, type Arguments, type Command} from '../../proc/command.ts';
import type {HostedRemoved} from '../api/hosted.ts';
import {CLIENT_FLAGS, openAgent} from './agent-client.ts';
import {humanSize, shortDigest} from './human.ts';
import {readImage} from './read-image.ts';

type Answer = {readonly freedBytes: number} | HostedRemoved;

/** `noost rm IMAGE` */
export const command: Command = {
  flags: [
    {
      name: 'hosted',
      kind: 'boolean',
      description: 'The image is one that is hosted here; not needed where its name begins with hosted.host',
      group: 'Images',
    },
    ...CLIENT_FLAGS,
  ],
  positionals: [{name: 'image', description: 'As in a pod: alpine:3.22, ghcr.io/team/app@sha256:…'}],
  examples: [
    ['$0 rm alpine:3.22', 'forget the tag, and what only it needs'],
    ['$0 rm --hosted team/app:v1', 'delete an image of the registry that this agent is'],
    ['$0 rm registry.example.com/team/app@sha256:…', 'delete a hosted manifest with all its tags'],
  ],
  epilogue:
    'Of the cache: layers that other images need stay, and the next pull asks the upstream again.\n' +
    'Of what is hosted: a tag goes, and its manifest and signatures with it unless another tag or index has them; a digest goes\n' +
    'with all its tags. Pods that name the digest cannot be pulled any more, and there is no way back but to push again.\n' +
    'The room is freed by the next collection (noost gc).',
  run: async (typed) => {
    const isHosted = typed.flags['hosted'] === true;
    const image = isHosted ? (typed.positionals['image'] ?? '') : readImage(typed.positionals['image']);
    const path = `${isHosted ? 'hosted' : 'images'}/${encodeURIComponent(image)}`;
    const answer = await (await openAgent(typed)).ask<Answer>({method: 'DELETE', path});
    process.stdout.write(render(typed, image, answer));
    return EXIT.ok;
  },
};

function render({flags}: Arguments, image: string, answer: Answer): string {
  if (flags['json'] === true) return `${JSON.stringify({image, ...answer})}\n`;
  if ('freedBytes' in answer) {
    const {freedBytes} = answer;
    const text = freedBytes === 0 ? 'no room freed: other images need its layers' : `${humanSize(freedBytes)} freed`;
    return `Removed ${image}: ${text}\n`;
  }
  const tags = answer.tags.map((tag) => `tag ${tag}`);
  const manifests = answer.manifests.map((digest) => `manifest ${shortDigest(digest)}`);
  return `Removed ${image}: ${[...tags, ...manifests].join(', ')}\n`;
}
