import {randomBytes} from 'node:crypto';
import type {RequestListener} from 'node:http';
import {join} from 'node:path';
import {isInCluster} from '../kube/access.ts';
import {parseRegistry} from '../oci/reference.ts';
import {Upstreams} from '../oci/upstream-client.ts';
import {policyFor} from '../oci/upstream-policy.ts';
import {newAdmin} from '../proc/admin.ts';
import {isUnderTest} from '../proc/fault.ts';
import {onBug, stopSignal} from '../proc/lifetime.ts';
import {listen, type Listening} from '../proc/listen.ts';
import {newLog, type ProcessLog} from '../proc/log.ts';
import {keepTicksFast} from '../proc/ticks.ts';
import {SOCKET_NAME} from './api/socket.ts';
import {needRestart} from './config/reload.ts';
import type {AgentConfig} from './config/shape.ts';
import {Doors} from './doors.ts';
import {newEvents, type Events} from './events.ts';
import {refreshGauges} from './gauges.ts';
import {greet} from './greet.ts';
import {newDiskDriver} from './hosted/disk/driver.ts';
import {Hosted} from './hosted/hosted.ts';
import {loadNative} from './http/native.ts';
import {Repeats} from './http/repeats.ts';
import {Sender} from './http/send.ts';
import {newServer} from './http/server.ts';
import {hasLogin, joinCluster} from './kubernetes/join.ts';
import type {KubernetesPart} from './kubernetes/kubernetes.ts';
import {lowDisk, readDiskSpace} from './low-disk.ts';
import {Metrics} from './metrics.ts';
import {keepNode, prepareNode, whyNotClean, type NodePart} from './node/keep.ts';
import {unmapProgram} from './program-pages.ts';
import {Puller} from './pull/puller.ts';
import {rehearse} from './rehearsal.ts';
import {settle} from './settle.ts';
import {openStore, type DiskStore} from './store/disk-store.ts';
import {VERSION} from './version.ts';

/** The parts of a running agent. */
interface Agent {
  config: AgentConfig;
  readonly log: ProcessLog;
  readonly metrics: Metrics;
  readonly events: Events;
  readonly store: DiskStore;
  readonly upstreams: Upstreams;
  readonly puller: Puller;
  readonly sender: Sender;
  /** What is pushed and kept here; `undefined` where there is no direct listener. */
  readonly hosted: Hosted | undefined;
  readonly repeats: Repeats;
  doors?: Doors;
  /** Of the node's runtime's files, where the agent writes them. */
  node?: NodePart | undefined;
  stopping: boolean;
  /** Ends what follows a start. */
  endSettling?: () => Promise<void>;
  /** In a pod, once it has begun. */
  kubernetes?: KubernetesPart | undefined;
}

/**
 * Runs an agent until SIGTERM or SIGINT; SIGHUP reads the configuration again.
 * @param load reads the configuration again. @throws {ConfigError}
 * @returns the exit code.
 */
export async function runAgent(config: AgentConfig, load: () => Promise<AgentConfig>): Promise<number> {
  const stop = stopSignal();
  keepTicksFast();
  let onReload = (): unknown => undefined; // before there is something to reload, SIGHUP must not end us
  process.on('SIGHUP', () => onReload());
  const agent = await newAgent(config);
  const {log, metrics} = agent;
  onBug(log, () => metrics.unexpectedErrors.inc());
  const listening: Listening[] = [];
  try {
    listening.push(await listen(newServer(newAdmin(adminParts(agent))), config.adminListen));
    await prepareNode(config, agent.events.degraded() !== undefined);
    agent.doors = await openDoors(agent);
    const registries = agent.doors.listening;
    listening.push(...(await listenForCommands(agent)));
    listening.push(...registries);
    onReload = () => void reload(agent, load);
    metrics.configReloaded.set(Date.now() / 1000);
    metrics.configReloadOk.set(1);
    const addresses = registries.map(({address}) => address);
    greet(log, config, addresses, listening[0]?.address ?? '');
    agent.endSettling = beginToSettle(agent);
    await warnOfLowDisk(agent);
    agent.kubernetes = await joinCluster(agent);
    agent.node = await keepNode({
      ...agent,
      listening: registries,
      notReady: () => whyNotReady(agent),
      secretChanged: async () => agent.doors?.reload(agent.config),
      problem: (text) => agent.kubernetes?.warn('NodeConfigurationFailed', text),
    });
    await stop;
    log.info('stopping: transfers under way may finish', {drainSeconds: agent.config.drainMs / 1000});
  } finally {
    await shutDown(agent, listening);
  }
  return 0;
}

async function newAgent(config: AgentConfig): Promise<Agent> {
  const log = newLog(config.log);
  const metrics = new Metrics(VERSION);
  const events = newEvents(metrics, log);
  const store = await openStore(config.dataDir, {limits: config.limits, events: events.store});
  const hop = randomBytes(12).toString('hex');
  // One object, so that a reload is seen by everything that holds it.
  const agent: Partial<Agent> & Pick<Agent, 'config'> = {config};
  const upstreams = new Upstreams({
    upstreams: config.upstreams,
    allowPrivate: config.allowPrivateUpstreams,
    ownAddresses: [...config.listeners, config.adminListen],
    hop,
    deniedRanges: config.deniedRanges,
    logins: isInCluster(process.env) ? (name) => agent.kubernetes?.find(name) : undefined,
    userAgent: `noost/${VERSION}`,
    events: events.upstream,
    env: process.env,
  });
  const puller = new Puller(
    {
      store,
      upstream: (name) => upstreams.for(name),
      policy: (name) => policyFor(agent.config.upstreams, name),
      hasLogin: (name) => hasLogin(agent.kubernetes, agent.config.upstreams, name),
      now: Date.now,
      events: events.pull,
    },
    events.flight,
  );
  const threads = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4);
  const sender = new Sender({native: loadNative(), threads});
  const hosted = newHosted(agent, {log, metrics, store, sender});
  return Object.assign(agent, {
    log,
    metrics,
    events,
    store,
    upstreams,
    puller,
    sender,
    repeats: new Repeats(),
    hosted,
    stopping: false,
    hop,
  });
}

/** Only where there is a door that images can come in by. */
function newHosted(
  agent: Pick<Agent, 'config'>,
  {log, metrics, store, sender}: Pick<Agent, 'log' | 'metrics' | 'store' | 'sender'>,
): Hosted | undefined {
  const {hosted, dataDir} = agent.config;
  if (hosted === undefined) return undefined;
  const failed = (error: unknown): void => log.warn('hosted images', {error: String(error)});
  return new Hosted({
    driver: newDiskDriver(dataDir, store, {failed}),
    config: () => agent.config.hosted ?? hosted,
    sender,
    repeats: new Repeats(), // of files of its own
    log,
    collected: ({blobs, uploads, bytes}) => {
      metrics.hostedCollectedBytes.inc(bytes);
      if (blobs + uploads > 0) log.info('hosted images: collected what nothing refers to', {blobs, uploads, bytes});
    },
  });
}

/** A data folder that cannot be used has no place for the socket either: commands have to wait, pulls do not (design §1.2). */
async function listenForCommands(agent: Agent): Promise<Listening[]> {
  try {
    return [await listen(newServer(lazyApi(agent)), {path: join(agent.config.dataDir, SOCKET_NAME)})];
  } catch (error) {
    if (agent.events.degraded() === undefined) throw error;
    agent.log.warn('there is no socket for commands until the agent is started again', {
      error: (error as Error).message,
    });
    return [];
  }
}

/** Loaded when it is first asked: few agents ever are, and all would hold what it needs. */
function lazyApi(agent: Agent): RequestListener {
  const {hosted, puller, store, log} = agent;
  const loaded = async (): Promise<RequestListener> => {
    const [{newApi}, {newBackend}, {HostedAdmin}] = await Promise.all([
      import('./api/api.ts'),
      import('./pull/prefetch.ts'),
      import('./hosted/admin.ts'),
    ]);
    const admin = hosted && new HostedAdmin(hosted, {host: () => agent.config.hosted?.host, log});
    return newApi(newBackend(puller, store, admin), log);
  };
  let api: Promise<RequestListener> | undefined;
  return (req, res) => {
    void (api ??= loaded()).then((answer) => {
      answer(req, res);
    });
  };
}

async function openDoors(agent: Agent & {hop?: string}): Promise<Doors> {
  const {hosted, events} = agent;
  return Doors.open({
    ...agent,
    hop: agent.hop ?? '',
    config: () => agent.config,
    degraded: () => events.degraded(),
    answerHosted: hosted?.answer,
    defaultRegistry: () =>
      agent.config.defaultUpstream === undefined ? undefined : parseRegistry(agent.config.defaultUpstream),
  });
}

/** A bad file keeps the old configuration. */
async function reload(agent: Agent, load: () => Promise<AgentConfig>): Promise<void> {
  const {log, metrics} = agent;
  try {
    const next = await load();
    const fixed = needRestart(agent.config, next);
    if (fixed.length > 0) log.warn('some settings change only with a restart', {settings: fixed.join(', ')});
    const openDoors = fixed.includes('listeners') ? undefined : await agent.doors?.prepare(next);
    // All that follows takes effect in one moment, as far as requests can see.
    agent.config = next;
    const opened = openDoors?.();
    agent.upstreams.reload(next.upstreams);
    agent.store.setLimits(next.limits);
    agent.puller.reloaded();
    log.setLevel(next.log.level);
    await opened;
    metrics.configReloaded.set(Date.now() / 1000);
    metrics.configReloadOk.set(1);
    log.info('configuration reloaded');
  } catch (error) {
    metrics.configReloadOk.set(0);
    const {message} = error as Error;
    log.error('the configuration was not reloaded: the old one stays', {error: message});
    agent.kubernetes?.warn('ConfigurationInvalid', `The configuration was not reloaded: ${message}`);
  }
}

function adminParts(agent: Agent): Parameters<typeof newAdmin>[0] {
  const {metrics, store, puller, log} = agent;
  return {
    registry: metrics.registry,
    notReady: () => whyNotReady(agent) ?? whyNotClean(agent.config, agent.node),
    refresh: () => refreshGauges({metrics, store, puller, log, hosted: agent.hosted}),
  };
}

function whyNotReady({stopping, doors, events}: Agent): string | undefined {
  if (stopping) return 'stopping';
  if (doors === undefined) return 'starting: the listeners are not open yet';
  return events.degraded() === undefined
    ? undefined
    : 'the data folder cannot be used: images pass through without being kept';
}

function beginToSettle(agent: Agent): () => Promise<void> {
  return settle({
    rehearse: async (pulls, stop) => {
      // A fault that a test has planned is for what it pulls itself.
      if (!isUnderTest && agent.events.degraded() === undefined) await rehearse(agent, pulls, stop);
    },
    unmapProgram,
    failed: (error) => agent.log.debug('what follows a start was not done', {error: String(error)}),
  });
}

async function warnOfLowDisk({log, config, store, events}: Agent): Promise<void> {
  if (events.degraded() !== undefined) return; // which has been told
  const space = await readDiskSpace(config.dataDir).catch(() => undefined);
  const warning = space && lowDisk(space, config.limits, await store.usage());
  if (warning !== undefined) log.warn(warning);
}

async function shutDown(agent: Agent, listening: readonly Listening[]): Promise<void> {
  agent.stopping = true; // readiness fails from now on
  const settled = agent.endSettling?.();
  await agent.node?.stop(); // first of all: nobody else is to be sent here
  const [admin, ...registries] = listening;
  await Promise.all(registries.map((one) => one.drain(agent.config.drainMs)));
  await agent.kubernetes?.[Symbol.asyncDispose](); // until here a transfer may need a login
  await agent.doors?.close();
  await agent.hosted?.close();
  await settled; // it writes to the store
  await agent.puller.close();
  await agent.upstreams.close();
  await agent.store.close();
  agent.sender.close();
  await admin?.drain(1_000);
  agent.log.info('stopped');
  await agent.log.close();
}
