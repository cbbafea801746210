import {pino, type Logger} from 'pino';
import {safeFields, safeText, type LogFields} from './log-fields.ts';
import {readableLine} from './log-line.ts';
import {newLogOutput, type LogOutput} from './log-output.ts';
import {escapeCharacter} from './printable.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** Where the program says what it does. Secrets, queries and long strings in fields are hidden or cut (D-037). */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /**
   * The one line of a request (E-015). Flat fields; cheap: not walked for secrets, so give it none.
   * @param known further fields that many lines share, as `renderFields` made them once.
   */
  access(fields: AccessFields, known?: string): void;
  /** Who did what to hosted images, or was refused: written at every level. As flat as `access`. */
  audit(fields: AccessFields): void;
}

export type AccessFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** Fields as an access line holds them: to be kept for as long as lines repeat them. */
export function renderFields(fields: AccessFields): string {
  let text = '';
  for (const key in fields) {
    const value = fields[key];
    if (value !== undefined) text += `,"${key}":${typeof value === 'string' ? quoted(value) : String(value)}`;
  }
  return text;
}

/** The log of a process, with what only its owner may do. */
export interface ProcessLog extends Log {
  setLevel(level: LogLevel): void;
  /** Lines thrown away because the reader of standard output did not keep up, since the start. */
  readonly droppedLines: number;
  /** Writes what is buffered, for at most a second: a reader that hangs must not hold up the end. */
  close(): Promise<void>;
}

export interface LogOptions {
  readonly level: LogLevel;
  /** `auto`: text on a terminal, JSON otherwise. */
  readonly format: 'json' | 'text' | 'auto';
  /** Descriptor to write to. @default 1 */
  readonly fd?: number;
  /** Bytes that wait for a reader before lines are dropped. @default 4 MiB: some 15,000 access lines. */
  readonly maxBufferedBytes?: number;
}

const CLOSE_MS = 1000;
/** Of a string in an access line: names have 255 characters at most (D-032), so this cuts only hostile ones. */
const MAX_ACCESS_STRING = 512;
/** JSON itself escapes below U+0020; these it lets through, and a terminal obeys some of them (D-037). */
const LEFT_BY_JSON = /[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu;

/**
 * Logs to standard output without ever waiting for its reader. Node writes to pipes synchronously, and containerd
 * reads ours (design §2), so lines go through a bounded buffer.
 */
export function newLog(options: LogOptions): ProcessLog {
  const fd = options.fd ?? 1;
  const output = newLogOutput(fd, options.maxBufferedBytes ?? 4 * 1024 * 1024);
  const isTerminal = fd === 1 && process.stdout.isTTY;
  const isText = options.format === 'text' || (options.format === 'auto' && isTerminal);
  const colour = isTerminal && process.env['NO_COLOR'] === undefined;
  const write = (line: string): void => {
    output.write(isText ? readableLine(line, colour) : line);
  };
  return new PinoLog(output, write, options.level);
}

class PinoLog implements ProcessLog {
  readonly #output: LogOutput;
  readonly #pino: Logger;
  readonly #write: (line: string) => void;
  readonly #clock = new IsoClock();

  constructor(output: LogOutput, write: (line: string) => void, level: LogLevel) {
    this.#output = output;
    this.#write = write;
    const formatters = {level: (label: string) => ({level: label})};
    const safely = (line: string): void => {
      write(line.replace(LEFT_BY_JSON, escapeCharacter));
    };
    const timestamp = (): string => `,"time":"${this.#clock.now()}"`;
    this.#pino = pino({level, base: null, timestamp, formatters}, {write: safely});
    output.onRecovered = (lines) => {
      this.warn('log lines were dropped: standard output is not read fast enough', {lines});
    };
  }

  get droppedLines(): number {
    return this.#output.droppedLines;
  }

  setLevel(level: LogLevel): void {
    this.#pino.level = level;
  }

  debug(message: string, fields?: LogFields): void {
    this.#log('debug', message, fields);
  }
  info(message: string, fields?: LogFields): void {
    this.#log('info', message, fields);
  }
  warn(message: string, fields?: LogFields): void {
    this.#log('warn', message, fields);
  }
  error(message: string, fields?: LogFields): void {
    this.#log('error', message, fields);
  }

  access(fields: AccessFields, known = ''): void {
    if (this.#pino.isLevelEnabled('info')) this.#flat('access', known + renderFields(fields));
  }

  audit(fields: AccessFields): void {
    this.#flat('audit', renderFields(fields));
  }

  close(): Promise<void> {
    return this.#output.close(CLOSE_MS);
  }

  /** By hand, in pino's form: there is one of these a request. */
  #flat(message: string, rendered: string): void {
    this.#write(`{"level":"info","time":"${this.#clock.now()}","msg":"${message}"${rendered}}\n`);
  }

  #log(level: LogLevel, message: string, fields: LogFields | undefined): void {
    if (!this.#pino.isLevelEnabled(level)) return;
    this.#pino[level](fields === undefined ? {} : safeFields(fields), safeText(message));
  }
}

/** The time as ISO 8601, made once a millisecond. */
class IsoClock {
  #atMs = 0;
  #text = '';
  now(): string {
    const nowMs = Date.now();
    if (nowMs !== this.#atMs) [this.#atMs, this.#text] = [nowMs, new Date(nowMs).toISOString()];
    return this.#text;
  }
}

/** What needs no escaping, which is nearly everything that is logged. */
const PLAIN = /^[ !#-[\]-~]*$/;

function quoted(value: string): string {
  if (value.length <= MAX_ACCESS_STRING && PLAIN.test(value)) return `"${value}"`;
  const cut = value.length <= MAX_ACCESS_STRING ? value : `${value.slice(0, MAX_ACCESS_STRING)}…`;
  return JSON.stringify(cut).replace(LEFT_BY_JSON, escapeCharacter);
}
