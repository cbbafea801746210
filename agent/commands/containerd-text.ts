import {printable} from '../../proc/printable.ts';
import type {Outcome} from '../node/certs-dir.ts';
import type {Report} from '../node/doctor.ts';
import {renderTable} from '../../proc/table.ts';

/** What install and uninstall did, a line a folder. */
export function renderOutcomes(path: string, outcomes: readonly Outcome[]): string {
  if (outcomes.length === 0) return `${path}: there was nothing of ours\n`;
  const width = Math.max(...outcomes.map(({name}) => name.length));
  const lines = outcomes.map(
    ({name, did, why}) =>
      `  ${printable(name.padEnd(width))}  ${did}${why === undefined ? '' : `: ${printable(why)}`}\n`,
  );
  return `${path}\n${lines.join('')}`;
}

interface Found {
  readonly path: string;
  readonly runtime: string;
  readonly files: readonly {
    readonly name: string;
    readonly agent: string | undefined;
    readonly owner: string | undefined;
    readonly why: string | undefined;
  }[];
}

/** Which folders name the agent. */
export function renderStanding({path, runtime, files}: Found): string {
  const head = `${runtime}, ${path}\n`;
  if (files.length === 0) return `${head}  nothing is there: every image comes from its registry\n`;
  const rows = files.map(({name, agent, owner, why}) => [
    name,
    agent ?? '–',
    why ?? (owner === undefined ? 'not ours' : `written by ${owner === 'manual' ? 'hand' : 'the agent'}`),
  ]);
  return head + renderTable([{title: 'NAME'}, {title: 'AGENT'}, {title: ''}], rows);
}

/** What is wrong, and what to type. */
export function renderReport({problems, path, runtime, configFiles, files}: Report): string {
  const named = files.filter(({agent}) => agent !== undefined).length;
  const head = `${runtime}${configFiles[0] === undefined ? '' : `, ${configFiles.join(', ')}`}\n${path}: ${String(named)} of ${String(files.length)} name the agent\n`;
  if (problems.length === 0) return `${head}Nothing is wrong.\n`;
  const lines = problems.map(
    ({level, message, todo}) => `\n${level === 'error' ? 'WRONG' : 'Note'}: ${printable(message)}\n${indent(todo)}`,
  );
  return head + lines.join('');
}

function indent(text: string): string {
  return text
    .split('\n')
    .map((line) => `  ${printable(line)}\n`)
    .join('');
}
