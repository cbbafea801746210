import {printable} from './printable.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'right';
}

/** A table in plain text, columns two spaces apart, every cell safe to print. */
export function renderTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const cells = [columns.map(({title}) => title), ...rows.map((row) => row.map((cell) => printable(cell, 512)))];
  const widths = columns.map((_, i) => cells.reduce((widest, row) => Math.max(widest, row[i]?.length ?? 0), 0));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (columns[i]?.align === 'right' ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return cells.map((row) => `${line(row)}\n`).join('');
}
