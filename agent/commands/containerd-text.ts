import {printable} from '../../proc/printable.ts';
import type {Outcome} from '../node/certs-dir.ts';
import type {Report} from '../node/doctor.ts';
import {renderTable} from './table.ts';

/** What install and uninstall did, a line a folder. */
export function renderOutcomes(certsDir: string, outcomes: readonly Outcome[]): string {
  if (outcomes.length === 0) return `${certsDir}: there was nothing of ours\n`;
  const width = Math.max(...outcomes.map(({name}) => name.length));
  const lines = outcomes.map(
    ({name, did, why}) =>
      `  ${printable(name.padEnd(width))}  ${did}${why === undefined ? '' : `: ${printable(why)}`}\n`,
  );
  return `${certsDir}\n${lines.join('')}`;
}

interface Found {
  readonly certsDir: string;
  readonly containerd: string;
  readonly folders: readonly {
    readonly name: string;
    readonly agent: string | undefined;
    readonly owner: string | undefined;
    readonly why: string | undefined;
  }[];
}

/** Which folders name the agent. */
export function renderStanding({certsDir, containerd, folders}: Found): string {
  const head = `${containerd}, ${certsDir}\n`;
  if (folders.length === 0) return `${head}  no folders: every image comes from its registry\n`;
  const rows = folders.map(({name, agent, owner, why}) => [
    name,
    agent ?? '–',
    why ?? (owner === undefined ? 'not ours' : `written by ${owner === 'manual' ? 'hand' : 'the agent'}`),
  ]);
  return head + renderTable([{title: 'FOLDER'}, {title: 'AGENT'}, {title: ''}], rows);
}

/** What is wrong, and what to type. */
export function renderReport({problems, certsDir, containerd, configFiles, folders}: Report): string {
  const named = folders.filter(({agent}) => agent !== undefined).length;
  const head = `${containerd}${configFiles[0] === undefined ? '' : `, ${configFiles.join(', ')}`}\n${certsDir}: ${String(named)} of ${String(folders.length)} folders name the agent\n`;
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
