import {round} from './goal.ts';
import type {Row, ScenarioResult} from './results.ts';

const WIDTH = 960;
const LABEL_WIDTH = 200;
const VALUE_WIDTH = 190;
const BAR_HEIGHT = 16;
const BAR_GAP = 5;
const GROUP_GAP = 34;
const MARGIN = 24;
const HEAD = 74;

/** By contestant; those that are not here get the last. Told apart also by people who do not see all colours (Okabe and Ito). */
const COLOURS: Readonly<Record<string, string>> = {
  noost: '#0072b2',
  nginx: '#009e73',
  'nginx-cache': '#56b4e9',
  distribution: '#e69f00',
  bare: '#cc79a7',
  sink: '#999999',
  direct: '#999999',
};
const OTHER_COLOUR = '#d55e00';

/** Metrics that are measured beside others and would only fill the page. */
const NOT_PLOTTED = new Set(['foreignCpu', 'errors', 'threads']);

/** A scenario as SVG: a block of bars for each case and metric; the thin line is the spread of the rounds. */
export function plotScenario(result: ScenarioResult, caption: string): string {
  const groups = groupRows(result.rows);
  const parts: string[] = [];
  let top = HEAD;
  for (const [title, rows] of groups) {
    parts.push(plotGroup(title, rows, top));
    top += GROUP_GAP + rows.length * (BAR_HEIGHT + BAR_GAP);
  }
  const height = top + MARGIN;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="DejaVu Sans, sans-serif" font-size="12">
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
${text(MARGIN, 28, `${result.scenario}: ${result.title}`, 'font-size="16" font-weight="bold"')}
${captionLines(caption)}
${parts.join('\n')}
</svg>
`;
}

function captionLines(caption: string): string {
  const words = caption.split(' · ');
  const half = Math.ceil(words.length / 2);
  const lines = [words.slice(0, half).join(' · '), words.slice(half).join(' · ')];
  return lines.map((line, i) => text(MARGIN, 46 + i * 14, line, 'font-size="10" fill="#555555"')).join('\n');
}

/** Title → rows, one block each, in the order in which they were measured. */
function groupRows(rows: readonly Row[]): ReadonlyMap<string, readonly Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    if (NOT_PLOTTED.has(row.metric) || row.contestant.startsWith('load generator')) continue;
    const title = `${row.of}: ${row.unit}`;
    groups.set(title, [...(groups.get(title) ?? []), row]);
  }
  return groups;
}

function plotGroup(title: string, rows: readonly Row[], top: number): string {
  const room = WIDTH - 2 * MARGIN - LABEL_WIDTH - VALUE_WIDTH;
  const most = Math.max(...rows.map(({max}) => max), Number.MIN_VALUE);
  const x = (value: number): number => MARGIN + LABEL_WIDTH + (Math.max(0, value) / most) * room;
  const bars = rows.map((row, i) => plotBar(row, x, top + 24 + i * (BAR_HEIGHT + BAR_GAP)));
  return [text(MARGIN, top + 16, title, 'font-weight="bold"'), ...bars].join('\n');
}

function plotBar(row: Row, x: (value: number) => number, top: number): string {
  const [left, middle, base] = [x(0), top + BAR_HEIGHT / 2, top + BAR_HEIGHT - 4];
  const colour = COLOURS[row.contestant] ?? OTHER_COLOUR;
  const spread = row.min === row.max ? '' : ` (${round(row.min)} … ${round(row.max)})`;
  return [
    text(left - 8, base, row.contestant, 'text-anchor="end"'),
    `<rect x="${fixed(left)}" y="${top}" width="${fixed(Math.max(1, x(row.median) - left))}" height="${BAR_HEIGHT}" fill="${colour}"/>`,
    `<path d="M${fixed(x(row.min))} ${middle}H${fixed(x(row.max))}" stroke="#000000" stroke-width="1.5"/>`,
    text(x(row.max) + 8, base, `${round(row.median)}${spread}`, ''),
  ].join('\n');
}

function text(x: number, y: number, content: string, attributes: string): string {
  const safe = content.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
  return `<text x="${fixed(x)}" y="${fixed(y)}" ${attributes}>${safe}</text>`;
}

function fixed(value: number): string {
  return value.toFixed(1);
}
