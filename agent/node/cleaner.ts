import type {Log} from '../../proc/log.ts';
import type {NodeConfig} from '../config/shape.ts';
import {reasonOf} from './certs-dir.ts';
import {runtimeFiles} from './runtime-files.ts';

export interface CleanerParts {
  readonly config: NodeConfig;
  readonly log: Log;
  /** @default 2000 */
  readonly everyMs?: number;
}

/**
 * Takes every agent out of the node's files, whoever wrote it there, and looks again and again that none comes back: what
 * `noost uninstall` has the agents do before anything is deleted.
 */
export class NodeCleaner {
  readonly #parts: CleanerParts;
  #timer: NodeJS.Timeout | undefined;
  #pass: Promise<void> = Promise.resolve();
  #stopped = false;
  #why: string | undefined = 'the files of the node have not been looked at yet';

  constructor(parts: CleanerParts) {
    this.#parts = parts;
  }

  /** Why the node may still be pointed at an agent; `undefined`: it is not. */
  get notClean(): string | undefined {
    return this.#why;
  }

  async start(): Promise<void> {
    this.#pass = this.#look();
    await this.#pass;
    if (this.#stopped) return;
    this.#timer = setTimeout(() => void this.start(), this.#parts.everyMs ?? 2000).unref();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#pass;
  }

  async #look(): Promise<void> {
    const before = this.#why;
    this.#why = await this.#clean().catch((error: unknown) => reasonOf(error));
    if (this.#why === before) return;
    if (this.#why === undefined) this.#parts.log.info('no file of this node names an agent any more');
    else this.#parts.log.error("the node's files may still name an agent", {reason: this.#why});
  }

  /** @returns what is left, in words. */
  async #clean(): Promise<string | undefined> {
    const {hostRoot: root, containerdConfig: configFile, certsDir: certsPath} = this.#parts.config;
    const problems: string[] = [];
    for (const runtime of ['containerd', 'crio'] as const) {
      const files = await runtimeFiles(runtime, {root, configFile, certsPath});
      const outcomes = await files.uninstall();
      const left = (await files.inspect()).filter(({mark, remains}) => mark !== undefined || remains);
      const failed = outcomes.filter(({name, did}) => did === 'failed' || left.some((one) => one.name === name));
      const rest = left.filter(({name}) => !failed.some((one) => one.name === name));
      problems.push(
        ...failed.map(({name, why}) => `${files.path}: ${name}: ${why ?? 'still there'}`),
        ...rest.map(({name}) => `${files.path}: ${name}: still there`),
      );
    }
    return problems.length === 0 ? undefined : problems.slice(0, 20).join('; ');
  }
}
