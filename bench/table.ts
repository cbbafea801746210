import {round} from './goal.ts';
import type {Row, ScenarioResult, Verdict} from './results.ts';

const MARKS = {reached: '✔', missed: '✘', open: '?'};

/** A scenario as text: each metric with its spread and its ratio to Noost's, then goals, then what did not run. */
export function renderScenario(result: ScenarioResult): string {
  const lines = [`\n━━ ${result.scenario} ━━ ${result.title} (${Math.round(result.seconds)} s)`];
  const cells = [
    ['case', 'contestant', 'median', '', 'min … max', 'noost is'],
    ...result.rows.filter(isShown).map((row) => cellsOf(row, result.rows)),
  ];
  lines.push(...align(cells));
  for (const verdict of result.verdicts)
    lines.push(`  ${markOf(verdict)} ${verdict.of}: ${verdict.goal}: ${verdict.shown}`);
  for (const {of, contestant, text} of result.remarks) lines.push(`  ! ${of}, ${contestant}: ${text}`);
  return `${lines.join('\n')}\n`;
}

export function markOf({reached}: Verdict): string {
  if (reached === undefined) return MARKS.open;
  return reached ? MARKS.reached : MARKS.missed;
}

/** How busy the machine was otherwise, and what the load generator took, is in the JSON, for each round. */
function isShown({metric, contestant}: Row): boolean {
  return metric !== 'foreignCpu' && !contestant.startsWith('load generator');
}

function cellsOf(row: Row, all: readonly Row[]): readonly string[] {
  const own = all.find(({of, metric, contestant}) => of === row.of && metric === row.metric && contestant === 'noost');
  const ratio = own === undefined || own === row || row.median === 0 ? '' : `${round(own.median / row.median)}×`;
  return [row.of, row.contestant, round(row.median), row.unit, `${round(row.min)} … ${round(row.max)}`, ratio];
}

const RIGHT_ALIGNED = new Set([2, 5]);

function align(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) =>
    `  ${row.map((cell, column) => (RIGHT_ALIGNED.has(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0))).join('  ')}`.trimEnd(),
  );
}
