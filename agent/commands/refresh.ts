import process from 'node:process';
import {EXIT, type Command} from '../../proc/command.ts';
import {CLIENT_FLAGS, openAgent} from './agent-client.ts';
import {readImage} from './read-image.ts';

interface Answer {
  readonly before?: string;
  readonly after: string;
  readonly mediaType: string;
  readonly changed: boolean;
}

/** `noost refresh IMAGE` */
export const command: Command = {
  flags: CLIENT_FLAGS,
  positionals: [{name: 'image', description: 'With a tag: alpine:3.22'}],
  examples: [['$0 refresh ghcr.io/team/app:main', 'after a push, before freshFor is over']],
  epilogue:
    'Asks whatever freshFor says, and tells what changed. Layers are fetched when somebody pulls, or with: noost pull',
  run: async (typed) => {
    const image = readImage(typed.positionals['image']);
    const answer = await (
      await openAgent(typed)
    ).ask<Answer>({method: 'POST', path: 'refresh', body: {reference: image}});
    process.stdout.write(
      typed.flags['json'] === true ? `${JSON.stringify({image, ...answer})}\n` : `${image}\n${render(answer)}`,
    );
    return EXIT.ok;
  },
};

function render({before, after, changed}: Answer): string {
  if (!changed) return `  unchanged: ${after}\n`;
  return before === undefined ? `  new: ${after}\n` : `  was: ${before}\n  now: ${after}\n`;
}
