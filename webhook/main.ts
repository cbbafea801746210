import {createServer} from 'node:http';
import {connect} from '../kube/connect.ts';
import {EventRecorder} from '../kube/events.ts';
import type {KubeClient} from '../kube/client.ts';
import {newAdmin} from '../proc/admin.ts';
import {onBug, stopSignal} from '../proc/lifetime.ts';
import {listen, type Listening} from '../proc/listen.ts';
import {newLog, type ProcessLog} from '../proc/log.ts';
import {keepTicksFast} from '../proc/ticks.ts';
import {VERSION} from '../proc/version.ts';
import {newReviewHandler, type SharedContext} from './admission/handler.ts';
import {Load} from './admission/load.ts';
import {needRestart} from './config/reload.ts';
import type {WebhookConfig} from './config/shape.ts';
import {Controller} from './controller/controller.ts';
import {ensureNamespace} from './controller/namespaces.ts';
import {WebhookMetrics} from './metrics.ts';
import {Registries} from './registries.ts';
import {newReviewServer} from './server.ts';
import {newTeller} from './tell.ts';

/** How long the API server may go on calling a replica that has said it is not ready: its endpoints take a moment. */
const LEAVING_MS = 3_000;

/** The parts of a running webhook. */
interface Webhook {
  config: WebhookConfig;
  readonly log: ProcessLog;
  readonly metrics: WebhookMetrics;
  readonly client: KubeClient;
  readonly controller: Controller;
  readonly registries: Registries;
  readonly events: EventRecorder;
  readonly load: Load;
  stopping: boolean;
}

/**
 * Runs a webhook until SIGTERM or SIGINT; SIGHUP reads the configuration again.
 * @param load reads the configuration again. @throws {ConfigError}
 * @returns the exit code. @throws {KubeError} if there is no way to an API server.
 */
export async function runWebhook(config: WebhookConfig, load: () => Promise<WebhookConfig>): Promise<number> {
  const stop = stopSignal();
  keepTicksFast();
  let onReload = (): unknown => undefined; // before there is something to reload, SIGHUP must not end us
  process.on('SIGHUP', () => onReload());
  const webhook = await newWebhook(config);
  const {log, metrics, controller, client} = webhook;
  onBug(log, () => metrics.unexpectedErrors.inc());
  const review = newReviewHandler(handlerParts(webhook));
  const server = newReviewServer((req, res) => {
    // The API server keeps connections, also to who is no longer an endpoint: the next review is to go elsewhere.
    if (webhook.stopping) res.setHeader('connection', 'close');
    review(req, res);
  });
  controller.attach(server);
  const listening: Listening[] = [];
  try {
    listening.push(await listen(createServer(newAdmin(adminParts(webhook))), config.adminListen));
    if (config.url !== undefined) await ensureNamespace(client, config.namespace, log);
    controller.start();
    listening.push(await listen(server, config.listen));
    metrics.configReloaded.set(Date.now() / 1000);
    metrics.configReloadOk.set(1);
    onReload = () => void reload(webhook, load);
    const [admin, reviews] = listening;
    log.info(`reviews on ${reviews?.address ?? ''}, metrics on ${admin?.address ?? ''}`, {
      namespace: config.namespace,
      failurePolicy: config.failurePolicy,
    });
    warnOfNoFallback(webhook);
    void tellWhenReady(webhook);
    await stop;
    log.info('stopping: reviews under way may finish', {drainSeconds: webhook.config.drainMs / 1000});
  } finally {
    await shutDown(webhook, listening);
  }
  return 0;
}

async function newWebhook(config: WebhookConfig): Promise<Webhook> {
  const userAgent = `noost-webhook/${VERSION}`;
  const client = await connect({kubeconfig: config.kubeconfig, userAgent});
  const log = newLog(config.log);
  const metrics = new WebhookMetrics(VERSION);
  const instance = process.env['POD_NAME'];
  return {
    config,
    log,
    metrics,
    client,
    controller: new Controller({client, config, log}),
    registries: new Registries({config, client, metrics, log, userAgent}),
    events: new EventRecorder({client, component: 'noost-webhook', instance, log}),
    load: new Load(),
    stopping: false,
  };
}

function handlerParts(webhook: Webhook): Parameters<typeof newReviewHandler>[0] {
  const {client, controller, registries, metrics, log, load, events} = webhook;
  const namespaceLabels: SharedContext['namespaceLabels'] = (namespace, signal) =>
    controller.namespaces.labelsOf(namespace, signal);
  const rightsFor: SharedContext['rightsFor'] = (name, pod, signal) => registries.rightsFor(name, pod, signal);
  const phase: SharedContext['phase'] = (name, ms) => metrics.phase(name, ms / 1000);
  return {
    load,
    context: () => {
      const {policies, cannotJudge} = controller;
      if (policies === undefined || cannotJudge !== undefined) return {notReady: cannotJudge ?? 'it has just begun'};
      const {pin, failurePolicy, namespace: ownNamespace} = webhook.config;
      const {identities, resolver} = registries;
      const nowMs = client.nowMs();
      return {
        policies,
        identities,
        pin,
        failurePolicy,
        ownNamespace,
        resolver,
        nowMs,
        namespaceLabels,
        rightsFor,
        phase,
      };
    },
    told: newTeller({metrics, log, record: (event) => events.record(event)}),
    shed: (reason) => metrics.shed.inc({reason}),
    failed: (pass, error) => {
      metrics.unexpectedErrors.inc();
      log.error('a review failed: please report it', {pass, error: String((error as Error).stack ?? error)});
    },
  };
}

function adminParts(webhook: Webhook): Parameters<typeof newAdmin>[0] {
  const {metrics, controller, registries, load, events, log} = webhook;
  return {
    registry: metrics.registry,
    notReady: () => (webhook.stopping ? 'stopping' : controller.notReady),
    refresh: () => {
      metrics.inFlight.set(load.inFlight);
      metrics.lag.set(load.lagMs / 1000);
      metrics.policies.set(controller.policyCount);
      metrics.known.set(registries.resolver.size);
      metrics.certificateExpiry.set((controller.served.current?.notAfterMs ?? 0) / 1000);
      metrics.ready.set(controller.notReady === undefined ? 1 : 0);
      metrics.leader.set(controller.leading ? 1 : 0);
      metrics.eventsDropped.reset();
      metrics.eventsDropped.inc(events.dropped);
      metrics.logDropped.reset();
      metrics.logDropped.inc(log.droppedLines);
      return Promise.resolve();
    },
  };
}

/** A bad file keeps the old configuration. */
async function reload(webhook: Webhook, load: () => Promise<WebhookConfig>): Promise<void> {
  const {log, metrics, registries} = webhook;
  try {
    const next = await load();
    const fixed = needRestart(webhook.config, next);
    if (fixed.length > 0) log.warn('some settings change only with a restart', {settings: fixed.join(', ')});
    webhook.config = {...next, failurePolicy: webhook.config.failurePolicy, namespace: webhook.config.namespace};
    registries.reload(webhook.config);
    warnOfNoFallback(webhook);
    log.setLevel(next.log.level);
    metrics.configReloaded.set(Date.now() / 1000);
    metrics.configReloadOk.set(1);
    log.info('configuration reloaded');
  } catch (error) {
    metrics.configReloadOk.set(0);
    log.error('the configuration was not reloaded: the old one stays', {error: (error as Error).message});
  }
}

/** Rewriting to the node's agent is the one setting by which a pull can be worse because of us: it is said aloud. */
function warnOfNoFallback({config: {rewrite}, log}: Webhook): void {
  if (rewrite.mode !== 'node') return;
  log.warn(
    'pods are rewritten to the agent of their node: where it does not answer they do not start, for their runtime has no other place to ask',
    {endpoint: rewrite.endpoint},
  );
}

/** Says once that it is ready, or every now and then why it is not. */
async function tellWhenReady(webhook: Webhook): Promise<void> {
  let said = '';
  for (let i = 0; !webhook.stopping; i++) {
    const reason = webhook.controller.notReady;
    if (reason === undefined) {
      tellClock(webhook);
      return webhook.log.info('ready');
    }
    if (reason !== said && i % 20 === 10) {
      said = reason;
      webhook.log.info('not ready yet', {reason});
    }
    await new Promise((resolve) => setTimeout(resolve, 250).unref());
  }
}

function tellClock({client, log}: Webhook): void {
  if (client.clockOffsetMs !== 0)
    log.warn("this machine's clock is not the API server's, which is used for certificates and the end of exceptions", {
      behindSeconds: Math.round(client.clockOffsetMs / 1000),
    });
}

/** Not ready first, and for a moment everything as before: the API server learns late that it should ask another. */
async function shutDown(webhook: Webhook, listening: readonly Listening[]): Promise<void> {
  webhook.stopping = true;
  const [admin, reviews] = listening;
  if (reviews !== undefined && webhook.config.url === undefined)
    await new Promise((resolve) => setTimeout(resolve, Math.min(LEAVING_MS, webhook.config.drainMs / 2)));
  await reviews?.drain(webhook.config.drainMs);
  await webhook.controller[Symbol.asyncDispose]();
  await webhook.events.close();
  await webhook.registries.close();
  webhook.load[Symbol.dispose]();
  webhook.client[Symbol.dispose]();
  await admin?.drain(1_000);
  webhook.log.info('stopped');
  await webhook.log.close();
}
