import {printable} from './printable.ts';

const COLOURS: Readonly<Record<string, string>> = {debug: '90', info: '32', warn: '33', error: '31'};
/** Fields of every line that have their own place in the readable form. */
const PLACED = new Set(['level', 'time', 'msg']);

/**
 * One JSON log line as people read it: `12:34:56.789 INFO  message key=value …`. What is not JSON is passed on
 * escaped. Control characters never get through (D-037).
 */
export function readableLine(json: string, colour: boolean): string {
  const record = parseRecord(json);
  if (record === undefined) return `${printable(json.trimEnd())}\n`;
  const level = String(record['level']);
  const paint = (code: string, text: string): string => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const fields = Object.entries(record)
    .filter(([key]) => !PLACED.has(key))
    .map(([key, value]) => `${paint('90', `${printable(key)}=`)}${shown(value)}`);
  const time = String(record['time']).slice(11, 23);
  const name = paint(COLOURS[level] ?? '0', printable(level.toUpperCase().padEnd(5)));
  return `${[time, name, printable(String(record['msg'])), ...fields].join(' ')}\n`;
}

function parseRecord(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined; // checked here
  } catch {
    return undefined;
  }
}

/** Bare where it is one word, quoted as JSON otherwise. */
function shown(value: unknown): string {
  if (typeof value === 'string' && /^[^\s"=]+$/.test(value)) return printable(value);
  return printable(JSON.stringify(value));
}
