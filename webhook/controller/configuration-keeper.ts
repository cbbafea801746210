import {setTimeout as delay} from 'node:timers/promises';
import type {KubeClient} from '../../kube/client.ts';
import {isNotFound} from '../../kube/error.ts';
import type {KubeLog} from '../../kube/log.ts';
import type {OwnerReference} from '../../kube/object.ts';
import type {FailurePolicy} from '../config/shape.ts';
import {failurePolicyFor, replicasToArm, type Switch} from './arming.ts';
import type {Wakeup} from './wakeup.ts';
import {
  CONFIGURATIONS,
  isAsWanted,
  writeConfiguration,
  type Accepted,
  type ConfigurationKind,
  type WebhookConfigurations,
} from './webhook-configurations.ts';
import {mutatingEntries, validatingEntries, type Target, type WebhookEntry} from './webhook-entries.ts';

export interface ConfigurationKeeperOptions {
  readonly client: KubeClient;
  readonly configurations: WebhookConfigurations;
  readonly namespace: string;
  readonly target: Target;
  readonly configured: FailurePolicy;
  /** PEM; empty as long as there is no certificate. */
  readonly bundle: () => string;
  readonly switch: () => Switch;
  /** Our Namespace, with which the configurations go; `undefined` outside a cluster, where it may not exist. */
  readonly owner: () => OwnerReference | undefined;
  readonly replicas: {readonly ready: number; readonly wanted: number | undefined};
  readonly log: KubeLog;
}

/** What nobody has changed is looked at again after this. */
const EVERY_MS = 30_000;
/** Between two writes, for somebody who undoes what we do: once at first, then slower. */
const [FIRST_PAUSE_MS, LONGEST_PAUSE_MS] = [250, 4000];
/** So long without a write, and the next one comes quickly again. */
const QUIET_MS = 30_000;

/** The leader's part: makes the webhook configurations, arms them, and puts them right when somebody changes them. */
export class ConfigurationKeeper {
  readonly #options: ConfigurationKeeperOptions;
  readonly #accepted = new Map<ConfigurationKind, Accepted>();
  #problem: string | undefined;
  #said = '';

  constructor(options: ConfigurationKeeperOptions) {
    this.#options = options;
  }

  /** Why they are not as they should be. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Until the signal ends: then somebody else does it. @param wakeup is woken whenever anything changed. */
  async keep(wakeup: Wakeup, signal: AbortSignal): Promise<void> {
    let pauseMs = FIRST_PAUSE_MS;
    let wroteAt = -QUIET_MS;
    wakeup.wake();
    while (!signal.aborted) {
      await wakeup.within(this.#problem === undefined ? EVERY_MS : 1000, signal);
      if (signal.aborted) return;
      try {
        if (!(await this.#reconcile(signal))) continue;
      } catch (error) {
        if (signal.aborted) return;
        this.#tell((error as Error).message);
      }
      pauseMs = performance.now() - wroteAt > QUIET_MS ? FIRST_PAUSE_MS : Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      wroteAt = performance.now();
      await delay(pauseMs, undefined, {signal}).catch(() => {});
    }
  }

  /** @returns whether something was written. */
  async #reconcile(signal: AbortSignal): Promise<boolean> {
    const {configurations, bundle} = this.#options;
    if (!configurations.synced)
      return this.#tell(configurations.failure?.message ?? 'the webhook configurations are not read yet');
    if (this.#options.switch() === 'off') return this.#remove(signal);
    const trust = bundle();
    if (trust === '') return this.#tell('there is no certificate yet');
    const all = this.#wanted(trust);
    let wrote = false;
    for (const [kind, entries] of Object.entries(all) as [ConfigurationKind, WebhookEntry[]][])
      wrote = (await this.#put(kind, entries, signal)) || wrote;
    this.#tell(undefined);
    return wrote;
  }

  #wanted(bundle: string): Record<ConfigurationKind, WebhookEntry[]> {
    const {configurations, namespace, target, configured, replicas, log} = this.#options;
    const live = configurations
      .get('validating')
      ?.webhooks?.find(({name}) => name === 'validate.noost.dev')?.failurePolicy;
    const state = {
      configured,
      live,
      switch: this.#options.switch(),
      readyReplicas: replicas.ready,
      wantedReplicas: replicas.wanted,
    };
    const failurePolicy = failurePolicyFor(state);
    const how = `${failurePolicy} ${state.switch ?? ''}`;
    if (how !== this.#said) {
      this.#said = how;
      const fields = {
        failurePolicy,
        configured,
        switch: state.switch,
        readyReplicas: state.readyReplicas,
        replicasToArm: replicasToArm(state),
      };
      log.info(
        failurePolicy === configured ? 'armed as configured' : 'not armed yet: pods are admitted if no webhook answers',
        fields,
      );
    }
    const options = {namespace, target, bundle, failurePolicy};
    return {mutating: mutatingEntries(options), validating: validatingEntries(options)};
  }

  async #put(kind: ConfigurationKind, entries: readonly WebhookEntry[], signal: AbortSignal): Promise<boolean> {
    const {client, configurations, log} = this.#options;
    const owner = this.#options.owner();
    const found = configurations.get(kind);
    if (isAsWanted(found, entries, owner, this.#accepted.get(kind))) return false;
    const {name} = configurations;
    if (found) log.warn(`the ${kind} webhook configuration is not what it should be, and is written`, {name});
    else log.info(`the ${kind} webhook configuration is made`, {name});
    this.#accepted.set(kind, await writeConfiguration(client, {kind, name, entries, owner, signal}));
    return true;
  }

  async #remove(signal: AbortSignal): Promise<boolean> {
    const {client, configurations, log} = this.#options;
    const there = (Object.keys(CONFIGURATIONS) as ConfigurationKind[]).filter((kind) => configurations.get(kind));
    if (there.length > 0)
      log.warn('switched off by the annotation of the namespace: the webhook configurations are removed');
    for (const kind of there)
      await client.delete(CONFIGURATIONS[kind], {name: configurations.name}, {signal}).catch((error: unknown) => {
        if (!isNotFound(error)) throw error;
      });
    this.#tell(undefined);
    this.#said = 'off';
    return there.length > 0;
  }

  #tell(problem: string | undefined): false {
    if (problem !== undefined && problem !== this.#problem)
      this.#options.log.warn('the webhook configurations cannot be kept, which is tried again', {reason: problem});
    this.#problem = problem;
    return false;
  }
}
