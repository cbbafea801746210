import {parseTagPattern} from '../../oci/name-pattern.ts';
import type {Log} from '../../proc/log.ts';
import type {HostedConfig} from '../config/shape.ts';
import type {Repeats} from '../http/repeats.ts';
import type {Sender} from '../http/send.ts';
import {collect, type Collected} from './collect.ts';
import type {Driver} from './contract.ts';
import type {HostedHandler} from './http/asked.ts';
import {newHostedHandler} from './http/handler.ts';
import {ManifestCache} from './manifest-cache.ts';
import type {PushRules} from './push.ts';
import {Sessions} from './sessions.ts';
import {removeUntagged, type Untagged} from './untagged.ts';

/** How often what nothing refers to is removed. */
const COLLECT_MS = 3600_000;
/** After the start, when what an earlier process left is looked at first. */
const FIRST_COLLECT_MS = 60_000;

export interface HostedOptions {
  readonly driver: Driver;
  /** As it is now. */
  readonly config: () => HostedConfig;
  readonly sender: Sender;
  readonly repeats: Repeats;
  readonly log: Log;
  readonly collected: (what: Collected) => void;
  readonly now?: () => number;
}

/** The registry that we are: what is pushed to the direct door and kept here. */
export class Hosted {
  readonly driver: Driver;
  readonly answer: HostedHandler;
  readonly rules: PushRules;
  readonly #sessions: Sessions;
  readonly #options: HostedOptions;
  readonly #stop = new AbortController();
  #timer: NodeJS.Timeout;
  #collecting: Promise<Collected> | undefined;

  constructor(options: HostedOptions) {
    const {driver, config, sender, repeats, now = Date.now} = options;
    this.#options = options;
    this.driver = driver;
    this.#sessions = new Sessions(driver, now);
    this.rules = {...immutableBy(config), now};
    this.answer = newHostedHandler({
      driver,
      sessions: this.#sessions,
      manifests: new ManifestCache(driver.content),
      rules: this.rules,
      sender,
      repeats,
      limits: config,
    });
    this.#timer = this.#collectIn(FIRST_COLLECT_MS);
  }

  /** Requests that are at an upload now. */
  get uploads(): number {
    return this.#sessions.active;
  }

  /** Removes what nothing refers to. Who asks while it runs gets the same one. @throws {StoreFullError} */
  async collect(): Promise<Collected> {
    const {driver, config, now = Date.now} = this.#options;
    this.#collecting ??= collect(driver, this.#sessions, {
      expiryMs: config().uploadExpiryMs,
      now,
      signal: this.#stop.signal,
    }).finally(() => (this.#collecting = undefined));
    const collected = await this.#collecting;
    this.#options.collected(collected);
    return collected;
  }

  /** Removes manifests that nothing but their digest names, and nobody has used for so long. Collection frees the room. */
  async removeUntagged(olderThanMs: number, dryRun: boolean): Promise<readonly Untagged[]> {
    const {driver, now = Date.now} = this.#options;
    return await removeUntagged(driver, {before: now() - olderThanMs, dryRun, signal: this.#stop.signal});
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#stop.abort(new Error('The agent stops'));
    await this.#collecting?.catch(() => undefined);
    this.driver.close();
  }

  #collectIn(ms: number): NodeJS.Timeout {
    return setTimeout(() => {
      this.collect()
        .catch((error: unknown) => {
          if (!this.#stop.signal.aborted)
            this.#options.log.warn('hosted images: nothing was collected', {error: (error as Error).message});
        })
        .finally(() => {
          if (!this.#stop.signal.aborted) this.#timer = this.#collectIn(COLLECT_MS);
        });
    }, ms).unref();
  }
}

/** Patterns are read again only when the configuration is another one. */
function immutableBy(config: () => HostedConfig): Pick<PushRules, 'isImmutable' | 'anyImmutable'> {
  let read: HostedConfig | undefined;
  let patterns: readonly ReturnType<typeof parseTagPattern>[] = [];
  const current = (): typeof patterns => {
    const now = config();
    if (now !== read) [read, patterns] = [now, now.immutableTags.map(parseTagPattern)];
    return patterns;
  };
  return {
    isImmutable: (repository, tag) => current().some(({matches}) => matches(repository, tag)),
    anyImmutable: () => current().length > 0,
  };
}
