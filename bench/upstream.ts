import {readFile, rm} from 'node:fs/promises';
import {join} from 'node:path';
import {setTimeout as delay} from 'node:timers/promises';
import type {Child} from './child.ts';
import type {Dataset} from './dataset.ts';
import {registryLocations, startNginx} from './nginx.ts';

/** nginx writes an entry when the answer is over; this is for the last one to arrive. */
const LOG_SETTLES_MS = 100;

export interface UpstreamEntry {
  readonly method: string;
  readonly uri: string;
  readonly status: number;
  /** Body bytes that were really sent. */
  readonly bytes: number;
}

export interface UpstreamOptions {
  readonly folder: string;
  readonly host: string;
  readonly port: number;
  readonly inside?: readonly string[];
}

/**
 * The upstream registry: nginx with the registry's paths as files. It is the fastest sender at hand, so that a cold pull is
 * not limited by it, and its own access log says how much it sent.
 */
export class Upstream implements AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly #log: string;
  readonly #child: Child;
  private constructor(options: UpstreamOptions, log: string, child: Child) {
    this.host = options.host;
    this.port = options.port;
    this.#log = log;
    this.#child = child;
  }

  static async start(dataset: Dataset, options: UpstreamOptions): Promise<Upstream> {
    const log = join(options.folder, 'sent.log');
    await rm(log, {force: true});
    const child = await startNginx({...options, server: registryLocations(dataset), accessLog: `${log} sent`});
    return new Upstream(options, log, child);
  }

  get url(): string {
    return `http://${this.host}:${this.port}`;
  }

  /** Everything it answered so far; `slice` from an earlier length for what came since. */
  async sent(): Promise<readonly UpstreamEntry[]> {
    await delay(LOG_SETTLES_MS);
    const text = await readFile(this.#log, 'utf8').catch(() => '');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as UpstreamEntry); // as we configured the format
  }

  /** Body bytes sent since the log had `before` entries. */
  async sentBytes(before: number): Promise<number> {
    return (await this.sent()).slice(before).reduce((sum, {bytes}) => sum + bytes, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stop();
  }
}
