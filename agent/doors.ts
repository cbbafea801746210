import {randomBytes} from 'node:crypto';
import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {listen, type Listening} from '../proc/listen.ts';
import {runtimeDoor, type RuntimeDoor} from './access/caller.ts';
import {readTokenKey, Tokens} from './access/tokens.ts';
import type {AgentConfig, ListenerConfig} from './config/shape.ts';
import {DirectListener} from './direct-listener.ts';
import type {RegistryParts} from './http/asked.ts';
import {newRegistry} from './http/registry.ts';
import {newServer} from './http/server.ts';
import type {Metrics} from './metrics.ts';
import {newOurNames, type OurNames} from './hosted/ours.ts';
import {secretFileIn} from './node/node-secret.ts';

/** What tokens are for where the registry has no name of its own. */
const SERVICE = 'noost';

type DoorParts = Omit<RegistryParts, 'hosted'> & {
  readonly metrics: Metrics;
  /** The configuration as it is now. */
  readonly config: () => AgentConfig;
  /** Why the data folder cannot be used. */
  readonly degraded: () => unknown;
  /** What answers for hosted images; `undefined` where there are none. */
  readonly answerHosted: NonNullable<RegistryParts['hosted']>['answer'] | undefined;
};

/** The listeners of an agent, and who may come in at each. */
export class Doors {
  readonly #runtime = new Map<number, RuntimeDoor>();
  readonly #direct = new Map<number, DirectListener>();
  /** In the order of the configuration. */
  readonly listening: Listening[] = [];
  #names: OurNames | undefined;

  /** @throws {Error} of the system, e.g. EADDRINUSE; what was opened is closed again. */
  static async open(parts: DoorParts): Promise<Doors> {
    const doors = new Doors();
    try {
      await doors.#open(parts);
      return doors;
    } catch (error) {
      await Promise.all(doors.listening.map((one) => one.drain(0)));
      await doors.close();
      throw error;
    }
  }

  /** Puts another configuration into effect. @throws {Error} as `prepare` does. */
  async reload(next: AgentConfig): Promise<void> {
    const takeEffect = await this.prepare(next);
    await takeEffect();
  }

  /**
   * Reads what another configuration needs: everything but addresses, doors and whether they are encrypted may change.
   * @returns what puts it into effect, before it returns: no request sees a part of it. Resolves when files are followed.
   * @throws {Error} of a file that cannot be read: then nothing has changed.
   */
  async prepare(next: AgentConfig): Promise<() => Promise<void>> {
    const names = next.hosted && newOurNames(next.hosted);
    const runtime = new Map<number, RuntimeDoor>();
    for (const [i, listener] of next.listeners.entries())
      if (this.#runtime.has(i)) runtime.set(i, await readDoor(listener));
    return async () => {
      this.#names = names;
      for (const [i, door] of runtime) this.#runtime.set(i, door);
      await Promise.all(next.listeners.map(async (listener, i) => this.#direct.get(i)?.reload(listener)));
    };
  }

  /** Stops following files; `listening` is drained by who owns it. */
  async close(): Promise<void> {
    await Promise.all([...this.#direct.values()].map((one) => one.close()));
  }

  async #open(parts: DoorParts): Promise<void> {
    const {config, answerHosted} = parts;
    const {listeners, hosted} = config();
    this.#names = hosted && newOurNames(hosted);
    const tokens = answerHosted && new Tokens(await readKey(parts), () => config().hosted?.host ?? SERVICE);
    for (const [i, listener] of listeners.entries()) {
      if (listener.door === 'direct') {
        if (answerHosted === undefined || tokens === undefined)
          throw Object.assign(new Error('there is nothing to serve at the direct listener'), {code: 'ENOTSUP'});
        const ourNames = (): OurNames => this.#names ?? newOurNames({host: undefined, names: []});
        const opened = await DirectListener.open({...parts, answerHosted, ourNames}, tokens, listener);
        this.#direct.set(i, opened);
        this.listening.push(opened.listening);
        continue;
      }
      this.#runtime.set(i, await readFirst(listener, parts));
      const handle = newRegistry(forRuntimes(parts), () => this.#runtime.get(i) ?? runtimeDoor([], false));
      const server = newServer(handle);
      this.listening.push(await listen(server, listener));
      parts.sender.neverPace(server);
    }
  }
}

function forRuntimes(parts: DoorParts): RegistryParts {
  const {config, answerHosted: answer} = parts;
  if (answer === undefined) return parts;
  const host = (): string | undefined => config().hosted?.host;
  const isPublic = (): boolean => config().listeners.some(({users}) => users.anonymous === 'pull');
  return {...parts, hosted: {answer, host, isPublic}};
}

/** A folder that cannot be used has no secret that we made either: then nobody proves anything, and pulls go on. */
async function readFirst(listener: ListenerConfig, {config, degraded}: DoorParts): Promise<RuntimeDoor> {
  try {
    return await readDoor(listener);
  } catch (error) {
    if (degraded() === undefined || listener.secretFile !== secretFileIn(config().dataDir)) throw error;
    return runtimeDoor([], listener.anyLocalProcess);
  }
}

async function readDoor({secretFile, anyLocalProcess}: ListenerConfig): Promise<RuntimeDoor> {
  const secrets = secretFile === undefined ? [] : [{text: (await readFile(secretFile, 'utf8')).trim()}];
  return runtimeDoor(secrets, anyLocalProcess);
}

/** A folder that cannot be used keeps no key: then tokens are good until the next start, as everything else is. */
async function readKey({config, degraded}: DoorParts): Promise<Uint8Array> {
  try {
    return await readTokenKey(join(config().dataDir, 'token.key'));
  } catch (error) {
    if (degraded() === undefined) throw error;
    return randomBytes(32);
  }
}
