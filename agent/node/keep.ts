import type {ProcessLog} from '../../proc/log.ts';
import type {AgentConfig} from '../config/shape.ts';
import type {Metrics} from '../metrics.ts';
import {ensureSecret, parseSecret, secretFileIn} from './node-secret.ts';
import {readFile} from 'node:fs/promises';

/** What of a running agent the node's files depend on. */
interface Served {
  readonly config: AgentConfig;
  readonly log: ProcessLog;
  readonly metrics: Metrics;
  /** In the order of `config.listeners`. */
  readonly listening: readonly {readonly address: string}[];
  notReady(): string | undefined;
  /** The listeners read their secrets again. */
  secretChanged(): Promise<void>;
  /** Told what an administrator has to change. */
  problem?(text: string): void;
}

/** Makes the secret that the listeners and the node's files share, before either is there. */
export async function prepareNode({node, listeners, dataDir}: AgentConfig, isDegraded: boolean): Promise<void> {
  const file = secretFileIn(dataDir);
  if (node.configure === 'none' || !listeners.some(({secretFile}) => secretFile === file)) return;
  await ensureSecret(file).catch((error: unknown) => {
    if (!isDegraded) throw error; // else the node is not pointed here anyway
  });
}

/** What an agent does with the files of its node until it ends. */
export interface NodePart {
  /** Why the agent is not ready because of them, or `undefined`. */
  readonly notClean?: string | undefined;
  stop(): Promise<void>;
}

/** Points the node's runtime at this agent, or away from all, if it is to. Loaded only then: elsewhere it costs no memory. */
export async function keepNode(served: Served): Promise<NodePart | undefined> {
  const {config, log} = served;
  switch (config.node.configure) {
    case 'none':
      return undefined;
    case 'containerd':
    case 'crio':
      return await newKeeper(served);
    case 'remove': {
      const {NodeCleaner} = await import('./cleaner.ts');
      const cleaner = new NodeCleaner({config: config.node, log});
      await cleaner.start();
      return cleaner;
    }
  }
}

async function newKeeper(served: Served): Promise<NodePart | undefined> {
  const {config, metrics, log} = served;
  const at = config.listeners.findIndex(({door}) => door === 'runtime');
  const listener = config.listeners[at];
  const address = served.listening[at]?.address;
  if (listener === undefined || address === undefined) return undefined; // rules.ts refuses that
  const {NodeKeeper} = await import('./keeper.ts');
  const keeper = new NodeKeeper({
    config: config.node,
    url: `http://${address}`,
    secret: await followSecret(listener.secretFile, served),
    notReady: () => served.notReady(),
    problem: (text) => served.problem?.(text),
    told: ({written, leftAlone, failed}) => {
      metrics.nodeFolders.set({outcome: 'written'}, written);
      metrics.nodeFolders.set({outcome: 'left_alone'}, leftAlone);
      metrics.nodeFolders.set({outcome: 'failed'}, failed);
    },
    log,
  });
  await keeper.start();
  return keeper;
}

/**
 * The secret as it is now. One of our own making is made again if it is gone, or if the data folder could not be used
 * when the agent began; what is written is what the listeners know.
 */
async function followSecret(file: string | undefined, served: Served): Promise<() => Promise<string | undefined>> {
  if (file === undefined) return () => Promise.resolve(undefined);
  const read = async (): Promise<string> => parseSecret(await readFile(file, 'utf8'));
  const now = file === secretFileIn(served.config.dataDir) ? (): Promise<string> => ensureSecret(file) : read;
  let known = await read().catch(() => undefined);
  return async () => {
    const secret = await now();
    if (secret !== known) await served.secretChanged();
    return (known = secret);
  };
}

/** Of an agent that is to take all agents out of the node's files; also before it has begun. */
export function whyNotClean({node}: Pick<AgentConfig, 'node'>, part: NodePart | undefined): string | undefined {
  if (part === undefined && node.configure === 'remove') return "the node's files have not been looked at yet";
  return part?.notClean;
}
