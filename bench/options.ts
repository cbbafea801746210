import {parseArgs} from 'node:util';
import {join} from 'node:path';

export const USAGE = `npm run bench -- [--only SCENARIO[,SCENARIO]] [--rounds N] [--quick] [--contestants A,B]
  [--peer NAME=URL] [--peer-command 'NAME=COMMAND'] [--checkout NAME=FOLDER] [--out FOLDER] [--work FOLDER]

--only          warm-large, warm-small, warm-image, cold-large, herd, herd-slow, restart, push, idle,
                soak, webhook
--rounds        how often each contestant is asked, in alternation; 5, with --quick 3
--quick         smaller blobs and shorter rounds, for a look within minutes
--contestants   only these: noost, nginx, nginx-cache, bare, distribution, sink
--peer          a registry or mirror that runs already; what it does not find is pushed to it
--peer-command  a mirror to start: a shell command that listens on 127.0.0.1:$PORT, keeps its data in $DATA and
                fetches from the registry at $UPSTREAM
--checkout      the agent of another checkout of Noost, where npm install was run
--out           where the results go; bench/results
--work          where data sets and caches are made, on a real disk; OUT/work
`;

export interface BenchOptions {
  /** Empty: all. */
  readonly only: readonly string[];
  readonly rounds: number;
  readonly quick: boolean;
  /** Empty: all. */
  readonly contestants: readonly string[];
  readonly peers: readonly Named[];
  readonly peerCommands: readonly Named[];
  readonly checkouts: readonly Named[];
  readonly out: string;
  readonly work: string;
}

export interface Named {
  readonly name: string;
  readonly value: string;
}

/** @throws {SyntaxError} with what is wrong, or `undefined` where help was asked for. */
export function parseOptions(args: readonly string[]): BenchOptions | undefined {
  const {values} = parse(args);
  if (values.help) return undefined;
  const rounds = Number(values.rounds ?? (values.quick ? 3 : 5));
  if (!Number.isInteger(rounds) || rounds < 1) throw new SyntaxError('--rounds is a number of at least 1');
  const out = values.out ?? join(import.meta.dirname, 'results');
  return {
    only: (values.only ?? []).flatMap((text) => text.split(',')),
    rounds,
    quick: values.quick ?? false,
    contestants: (values.contestants ?? []).flatMap((text) => text.split(',')),
    peers: (values.peer ?? []).map((text) => parseNamed('--peer', text)),
    peerCommands: (values['peer-command'] ?? []).map((text) => parseNamed('--peer-command', text)),
    checkouts: (values.checkout ?? []).map((text) => parseNamed('--checkout', text)),
    out,
    work: values.work ?? join(out, 'work'),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      options: {
        only: {type: 'string', multiple: true},
        rounds: {type: 'string'},
        quick: {type: 'boolean'},
        contestants: {type: 'string', multiple: true},
        peer: {type: 'string', multiple: true},
        'peer-command': {type: 'string', multiple: true},
        checkout: {type: 'string', multiple: true},
        out: {type: 'string'},
        work: {type: 'string'},
        help: {type: 'boolean', short: 'h'},
      },
    });
  } catch (error) {
    throw new SyntaxError((error as Error).message, {cause: error});
  }
}

function parseNamed(flag: string, text: string): Named {
  const [, name, value] = /^([a-z0-9][a-z0-9.-]*)=(.+)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new SyntaxError(`${flag} is NAME=VALUE, not ${text}`);
  return {name, value};
}
