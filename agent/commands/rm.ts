import process from 'node:process';
import {EXIT, type Command} from '../../proc/command.ts';
import {CLIENT_FLAGS, openAgent} from './agent-client.ts';
import {humanSize} from './human.ts';
import {readImage} from './read-image.ts';

/** `noost rm IMAGE` */
export const command: Command = {
  flags: CLIENT_FLAGS,
  positionals: [{name: 'image', description: 'As in a pod: alpine:3.22, ghcr.io/team/app@sha256:…'}],
  examples: [['$0 rm alpine:3.22', 'forget the tag, and what only it needs']],
  epilogue: 'Layers that other images need stay. The next pull of the image asks the upstream again.',
  run: async (typed) => {
    const image = readImage(typed.positionals['image']);
    const {freedBytes} = await (
      await openAgent(typed)
    ).ask<{freedBytes: number}>({method: 'DELETE', path: `images/${encodeURIComponent(image)}`});
    const text = freedBytes === 0 ? 'no room freed: other images need its layers' : `${humanSize(freedBytes)} freed`;
    process.stdout.write(
      typed.flags['json'] === true ? `${JSON.stringify({image, freedBytes})}\n` : `Removed ${image}: ${text}\n`,
    );
    return EXIT.ok;
  },
};
