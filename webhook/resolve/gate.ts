import {LRUCache} from 'lru-cache';

/** Its turn did not come in time. It says nothing of what would have been asked. */
export class BusyError extends Error {
  override readonly name = 'BusyError';
}

export interface GateLimits {
  /** Questions to one registry at a time. */
  readonly perRegistry: number;
  /** The same as long as it has not answered: one that hangs is to hold as little as it can. */
  readonly perStranger: number;
  /** Questions of one tenant at a time, whichever registries they are for. */
  readonly perTenant: number;
  readonly inAll: number;
}

/** How long a registry that has answered is no stranger. */
const ANSWERED_MS = 600_000;
const MAX_ANSWERED = 1_000;

/**
 * Whose turn it is to ask a registry. Tenants take turns, and within a tenant registries do: whoever names a thousand
 * tags, or a hundred registries that hang, waits behind himself.
 */
export class Gate {
  readonly #limits: GateLimits;
  /** Tenant → registry → who waits, first come first. Tenants and registries are in the order of their turns. */
  readonly #waiting = new Map<string, Map<string, Set<Turn>>>();
  /** Running questions, by registry and by tenant. */
  readonly #ofRegistry = new Counts();
  readonly #ofTenant = new Counts();
  readonly #answered = new LRUCache<string, true>({max: MAX_ANSWERED, ttl: ANSWERED_MS});
  #running = 0;

  constructor(limits: GateLimits) {
    this.#limits = limits;
  }

  /** A question that has yet to be asked. */
  turn(registry: string): Turn {
    const begun = (turn: Turn, tenant: string): void => this.#begin(turn, tenant);
    return new Turn(registry, {
      wants: (turn, tenant) => {
        this.#enqueue(turn, tenant);
        this.#next(begun);
      },
      left: (turn) => this.#dequeue(turn),
      ended: (turn, answered) => {
        this.#end(turn, answered);
        this.#next(begun);
      },
    });
  }

  #enqueue(turn: Turn, tenant: string): void {
    const registries = this.#waiting.get(tenant) ?? new Map<string, Set<Turn>>();
    const turns = registries.get(turn.registry) ?? new Set<Turn>();
    this.#waiting.set(tenant, registries.set(turn.registry, turns.add(turn)));
  }

  #dequeue(turn: Turn): void {
    for (const tenant of turn.tenants) {
      const registries = this.#waiting.get(tenant);
      const turns = registries?.get(turn.registry);
      turns?.delete(turn);
      if (turns?.size === 0) registries?.delete(turn.registry);
      if (registries?.size === 0) this.#waiting.delete(tenant);
    }
  }

  /** One for each tenant, again and again, until nobody can begin. */
  #next(begin: (turn: Turn, tenant: string) => void): void {
    for (let isAny = true; isAny;) {
      isAny = false;
      for (const [tenant, registries] of Array.from(this.#waiting)) {
        if (this.#running >= this.#limits.inAll) return;
        if (this.#ofTenant.get(tenant) >= this.#limits.perTenant) continue;
        const turn = this.#firstOf(registries);
        if (turn === undefined) continue;
        begin(turn, tenant);
        isAny = true;
      }
    }
  }

  #firstOf(registries: ReadonlyMap<string, ReadonlySet<Turn>>): Turn | undefined {
    for (const [registry, [first]] of registries) {
      const most = this.#answered.has(registry) ? this.#limits.perRegistry : this.#limits.perStranger;
      if (this.#ofRegistry.get(registry) < most) return first;
    }
    return undefined;
  }

  #begin(turn: Turn, tenant: string): void {
    this.#dequeue(turn);
    // The others of this tenant come before this registry's next, and other tenants before this one's.
    const registries = this.#waiting.get(tenant);
    const turns = registries?.get(turn.registry);
    if (registries !== undefined) {
      this.#waiting.delete(tenant);
      this.#waiting.set(tenant, registries);
      if (turns !== undefined) {
        registries.delete(turn.registry);
        registries.set(turn.registry, turns);
      }
    }
    this.#running++;
    this.#ofRegistry.add(turn.registry, 1);
    this.#ofTenant.add(tenant, 1);
    turn.begin(tenant);
  }

  #end({registry, tenant}: Turn, answered: boolean): void {
    this.#running--;
    this.#ofRegistry.add(registry, -1);
    this.#ofTenant.add(tenant, -1);
    if (answered) this.#answered.set(registry, true);
    else this.#answered.delete(registry);
  }
}

interface TurnEvents {
  readonly wants: (turn: Turn, tenant: string) => void;
  readonly left: (turn: Turn) => void;
  readonly ended: (turn: Turn, answered: boolean) => void;
}

/** One question's. Whoever joins it lends it their own place in the queue. */
export class Turn {
  readonly registry: string;
  /** Who wants it. */
  readonly tenants = new Set<string>();
  readonly #events: TurnEvents;
  readonly #begun = Promise.withResolvers<void>();
  #tenant: string | undefined;

  constructor(registry: string, events: TurnEvents) {
    this.registry = registry;
    this.#events = events;
    this.#begun.promise.catch(() => undefined); // it is whoever runs it that hears of it
  }

  /** As whose it runs. */
  get tenant(): string {
    return this.#tenant ?? '';
  }

  wantedBy(tenant: string): void {
    if (this.#tenant !== undefined || this.tenants.has(tenant)) return;
    this.tenants.add(tenant);
    this.#events.wants(this, tenant);
  }

  begin(tenant: string): void {
    this.#tenant = tenant;
    this.#begun.resolve();
  }

  /**
   * Asks when it is its turn.
   * @param hasAnswered whether an error came from a registry that is there.
   * @throws {BusyError} if the signal ends before that; what `ask` throws.
   */
  async run<T>(signal: AbortSignal, ask: () => Promise<T>, hasAnswered: (error: unknown) => boolean): Promise<T> {
    await this.#come(signal);
    let answered = true;
    try {
      return await ask();
    } catch (error) {
      answered = hasAnswered(error);
      throw error;
    } finally {
      this.#events.ended(this, answered);
    }
  }

  async #come(signal: AbortSignal): Promise<void> {
    const leave = (): void => {
      if (this.#tenant !== undefined) return; // it has just begun
      this.#events.left(this);
      this.#begun.reject(new BusyError(`too many questions to registries wait before this one to ${this.registry}`));
    };
    if (signal.aborted) leave();
    signal.addEventListener('abort', leave, {once: true});
    await this.#begun.promise.finally(() => signal.removeEventListener('abort', leave));
  }
}

/** How many of each; what has none is not kept. */
export class Counts {
  readonly #counts = new Map<string, number>();

  get(key: string): number {
    return this.#counts.get(key) ?? 0;
  }

  add(key: string, by: 1 | -1): void {
    const count = this.get(key) + by;
    if (count === 0) this.#counts.delete(key);
    else this.#counts.set(key, count);
  }
}
