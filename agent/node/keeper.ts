import {randomBytes} from 'node:crypto';
import {request} from 'node:http';
import type {Log} from '../../proc/log.ts';
import type {NodeConfig} from '../config/shape.ts';
import type {Outcome, Wanted} from './certs-dir.ts';
import {runtimeFiles, type RuntimeFiles} from './runtime-files.ts';

/** What keeps a node's files in step with the agent needs to know of it. */
export interface KeeperParts {
  readonly config: NodeConfig;
  /** `http://127.0.0.1:5055` */
  readonly url: string;
  secret(): Promise<string | undefined>;
  /** Why the agent cannot serve, or `undefined`. */
  notReady(): string | undefined;
  /** Told after each pass: folders that have us, folders that were left alone, folders that failed. */
  told(counts: Counts): void;
  /** Told what is wrong, in words, when it changes. */
  readonly problem?: (text: string) => void;
  readonly log: Log;
  /** @default the values below */
  readonly everyMs?: number;
}

export interface Counts {
  readonly written: number;
  readonly leftAlone: number;
  readonly failed: number;
}

/** How soon a node stops naming an agent that says it cannot serve, in ms. */
const EVERY_MS = 2_000;
/** Every so many passes the files are looked at even if nothing has changed with us. */
const LOOK_PASSES = 5;
/** Every so many passes we ask ourselves over the network. */
const ASK_PASSES = 15;
const ASK_MS = 2_000;
const NONE: Counts = {written: 0, leftAlone: 0, failed: 0};

/**
 * Keeps the node's containerd pointed at this agent for as long as it can serve, and not a moment longer (design §10):
 * writes after a first question to itself, repairs drift, and takes out what it wrote when it cannot serve or ends.
 */
export class NodeKeeper {
  readonly #parts: KeeperParts;
  readonly #owner = randomBytes(8).toString('hex');
  readonly #since = new Date();
  #timer: NodeJS.Timeout | undefined;
  #pass: Promise<void> = Promise.resolve();
  #passes = 0;
  #stopped = false;
  #files: RuntimeFiles | undefined;
  /** Why the files are not there, or `undefined` if they are. */
  #out: string | undefined = 'the agent has just begun';
  /** Whether something of ours may be in the files. */
  #wrote = false;
  #said = '';

  constructor(parts: KeeperParts) {
    this.#parts = parts;
  }

  /** Writes for the first time; what cannot be done is logged and tried again. */
  async start(): Promise<void> {
    await this.#run();
  }

  /** Takes out what this agent wrote and nothing that another wrote. Never rejects. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#pass;
    if (!this.#wrote) return;
    await this.#takeOut('the agent ends').catch((error: unknown) => {
      this.#parts.log.error("the node's files still name this agent", {error: (error as Error).message});
    });
  }

  async #run(): Promise<void> {
    this.#pass = this.#look().catch((error: unknown) => {
      this.#sayOnce('error', "the node's files could not be looked at", [(error as Error).message]);
    });
    await this.#pass;
    this.#passes++;
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.#run(), this.#parts.everyMs ?? EVERY_MS);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    const why = this.#parts.notReady() ?? (await this.#askSelf());
    if (why !== undefined) {
      this.#out = why;
      if (this.#wrote) await this.#takeOut(why);
    } else if (this.#out !== undefined || this.#passes % LOOK_PASSES === 0) {
      await this.#write();
    }
  }

  /** The first time, then now and then, and at each pass while it fails: that what is written leads to us. */
  async #askSelf(): Promise<string | undefined> {
    if (this.#out === undefined && this.#passes % ASK_PASSES !== 0) return undefined;
    try {
      await ask(`${this.#parts.url}/v2/`);
      return undefined;
    } catch (error) {
      return `it does not answer at ${this.#parts.url}: ${(error as Error).message}`;
    }
  }

  async #write(): Promise<void> {
    const {config, url, log} = this.#parts;
    const files = await this.#find();
    const host = {url, secret: await this.#parts.secret(), order: config.order};
    const wanted: Wanted = {host, registries: config.registries};
    this.#wrote = true;
    const outcomes = await files.install(wanted, {owner: this.#owner, since: this.#since});
    const failed = outcomes.filter(({did}) => did === 'failed');
    const leftAlone = outcomes.filter(({did}) => did === 'left alone');
    const written = outcomes.filter(({did}) => did === 'written' || did === 'unchanged').length;
    if (written > 0 && this.#out !== undefined)
      log.info(`${files.name} asks this agent: ${files.path}`, {files: written});
    else if (outcomes.some(({did}) => did === 'written')) log.info(`${files.path} was changed: repaired`);
    this.#out = written > 0 ? undefined : 'nothing could be written';
    this.#parts.told({written, leftAlone: leftAlone.length, failed: failed.length});
    const inTheWay = files.findings.filter(({level}) => level === 'error');
    this.#sayOnce('warn', "not all of the node's pulls come to this agent", [
      ...[...failed, ...leftAlone].map(({name, did, why = ''}: Outcome) => `${name} ${did}: ${why}`),
      ...inTheWay.map(({message, todo}) => `${message}; ${todo}`),
    ]);
  }

  async #takeOut(why: string): Promise<void> {
    const files = this.#files ?? (await this.#find());
    const outcomes = await files.uninstall(this.#owner);
    const failed = outcomes.filter(({did}) => did === 'failed' || did === 'left alone');
    this.#wrote = failed.length > 0;
    this.#parts.told({...NONE, failed: failed.length});
    this.#parts.log.info(`${files.name} asks the registries themselves: ${why}`, {files: outcomes.length});
    for (const {name, why: reason} of failed)
      this.#parts.log.error('a file still names this agent', {file: name, error: reason ?? ''});
  }

  /** Looked for anew now and then: somebody may correct what stands in the way. */
  async #find(): Promise<RuntimeFiles> {
    const {configure, hostRoot: root, containerdConfig: configFile, certsDir: certsPath} = this.#parts.config;
    if (configure === 'none' || configure === 'remove') throw new Error('There is nothing to configure'); // keep.ts does not come here then
    const before = this.#files;
    if (before !== undefined && this.#passes % ASK_PASSES !== 0) return before;
    const found = await runtimeFiles(configure, {root, configFile, certsPath});
    if (this.#wrote && before !== undefined && before.path !== found.path) await before.uninstall(this.#owner);
    return (this.#files = found);
  }

  /** What is wrong is said when it changes, not at every pass. */
  #sayOnce(level: 'warn' | 'error', message: string, problems: readonly string[]): void {
    const text = problems.join('\n');
    if (text === this.#said) return;
    this.#said = text;
    if (text === '') return;
    this.#parts.log[level](message, {problems: problems.slice(0, 20)});
    this.#parts.problem?.(`${message}: ${text}`);
  }
}

/** @throws {Error} unless it is answered 200. */
export function ask(url: string, headers: Readonly<Record<string, string>> = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    const req = request(url, {agent: false, timeout: ASK_MS, headers}, (res) => {
      res.resume();
      if (res.statusCode === 200) resolve();
      else reject(new Error(`HTTP ${String(res.statusCode)}`));
    });
    req.on('timeout', () => req.destroy(new Error(`no answer in ${String(ASK_MS / 1000)} s`)));
    req.on('error', reject);
    req.end();
  });
}
