import process from 'node:process';
import {CommandError, EXIT, type Command} from '../../proc/command.ts';
import type {TagMove} from '../hosted/contract.ts';
import {CLIENT_FLAGS, openAgent} from './agent-client.ts';
import {shortDigest} from './human.ts';
import {renderTable} from '../../proc/table.ts';

const COLUMNS = [{title: 'WHEN'}, {title: 'WHO'}, {title: 'FROM'}, {title: 'TO'}] as const;

/** As JSON has it: what is `undefined` is absent. */
interface Answer {
  readonly repository: string;
  readonly tag: string;
  readonly moves: readonly Partial<TagMove>[];
}

/** `noost history NAME:TAG` */
export const command: Command = {
  flags: CLIENT_FLAGS,
  positionals: [{name: 'image', description: 'A tag that is hosted here: team/app:v1'}],
  examples: [
    ['$0 history team/app:main', 'who moved it, when, from what to what'],
    ['$0 history registry.example.com/team/app:main', 'by the name that the configuration gives this registry'],
  ],
  epilogue:
    'The newest first, 100 at most; also of a tag that was deleted. The image it was before can be pulled by its digest.',
  run: async (typed) => {
    const image = typed.positionals['image'] ?? '';
    if (image === '') throw new CommandError(EXIT.usage, 'Say which tag: team/app:v1');
    const agent = await openAgent(typed);
    const answer = await agent.ask<Answer>({method: 'GET', path: `history/${encodeURIComponent(image)}`});
    if (typed.flags['json'] === true) process.stdout.write(`${JSON.stringify(answer)}\n`);
    else process.stdout.write(renderTable(COLUMNS, answer.moves.map(row)));
    return EXIT.ok;
  },
};

function row({at = 0, by, from, to}: Partial<TagMove>): string[] {
  return [
    new Date(at).toISOString(),
    by ?? '–',
    from === undefined ? '(new)' : shortDigest(from),
    to === undefined ? '(deleted)' : shortDigest(to),
  ];
}
