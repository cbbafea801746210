import type {X509Certificate} from 'node:crypto';
import {setTimeout as delay} from 'node:timers/promises';
import type {KubeClient} from '../../kube/client.ts';
import {isConflict, KubeError} from '../../kube/error.ts';
import {ListWatch} from '../../kube/list-watch.ts';
import type {KubeLog} from '../../kube/log.ts';
import {SECRETS} from '../../kube/resources.ts';
import type {CertificateSource} from './certificate-source.ts';
import type {KeyPair} from './key-pair.ts';
import {dataOf, nextCertificates, NOTHING, readTlsSecret, type Certificates, type TlsSecret} from './tls-secret.ts';
import {Wakeup} from './wakeup.ts';

export interface OwnCertificatesOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Of the Secret. */
  readonly name: string;
  /** Host names and IP addresses that the API server may call us by. */
  readonly names: readonly string[];
  readonly lifetimeMs: number;
  readonly isLeader: () => boolean;
  readonly onChange: () => void;
  readonly log: KubeLog;
  readonly nowMs: () => number;
}

const PAUSE_MS = 200;
const MAX_CHECK_MS = 60_000;
const [MIN_RETRY_MS, MAX_RETRY_MS] = [500, 5000];

/**
 * Certificates of a CA of our own, kept in a Secret that every replica follows. Whoever finds it missing or damaged writes
 * it anew, as it was if it is known; the leader renews it. All write for the version they read: of several who are
 * first one is, and the others take what it wrote.
 */
export class OwnCertificates implements CertificateSource {
  readonly #options: OwnCertificatesOptions;
  readonly #secrets: ListWatch<TlsSecret>;
  readonly #wakeup = new Wakeup();
  readonly #stop = new AbortController();
  /** As the Secret was when it was last whole. */
  #known: Certificates = NOTHING;
  #problem: string | undefined;
  #running: Promise<void> | undefined;

  constructor(options: OwnCertificatesOptions) {
    const {client, namespace, name, log} = options;
    this.#options = options;
    const wake = (): void => this.#wakeup.wake();
    this.#secrets = new ListWatch({
      client,
      type: SECRETS,
      namespace,
      fieldSelector: `metadata.name=${name}`,
      onChange: wake,
      onSynced: wake,
      maxSilenceMs: 30_000,
      maxBackoffMs: 3000,
      maxItems: 1,
      log,
    });
  }

  get pair(): KeyPair | undefined {
    return this.#known.leaf;
  }

  get bundle(): readonly X509Certificate[] {
    const {authority, previous} = this.#known;
    return authority ? [authority.leaf, ...previous] : [];
  }

  get problem(): string | undefined {
    return this.#problem ?? (this.pair ? undefined : (this.#secrets.failure?.message ?? 'there is no certificate yet'));
  }

  start(): void {
    this.#secrets.start();
    this.#running ??= this.#run();
  }

  /** Looks again, for one whose part has changed: a leader renews what others leave alone. */
  recheck(): void {
    this.#wakeup.wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort(new Error('Stopped'));
    await this.#running;
    await this.#secrets.stop();
  }

  async #run(): Promise<void> {
    const {signal} = this.#stop;
    const {lifetimeMs, log} = this.#options;
    const everyMs = Math.min(MAX_CHECK_MS, lifetimeMs / 30);
    for (let failures = 0; !signal.aborted;) {
      await this.#wakeup.within(failures > 0 ? Math.min(MIN_RETRY_MS * 2 ** failures, MAX_RETRY_MS) : everyMs, signal);
      if (signal.aborted || !this.#secrets.synced) continue;
      try {
        await this.#check(signal);
        failures = 0;
        this.#problem = undefined;
      } catch (error) {
        if (signal.aborted) return;
        const {name, namespace} = this.#options;
        this.#problem = `the Secret ${namespace}/${name} cannot be written: ${(error as Error).message}`;
        if (failures++ === 0) log.warn('certificates cannot be kept, which is tried again', {reason: this.#problem});
      }
    }
  }

  async #check(signal: AbortSignal): Promise<void> {
    const {namespace, name, names, lifetimeMs, isLeader, log, nowMs} = this.#options;
    const secret = this.#secrets.get(name, namespace);
    const now = nowMs();
    const found = secret ? readTlsSecret(secret, {names, nowMs: now}) : NOTHING;
    const next = await nextCertificates(found, this.#known, {names, lifetimeMs, nowMs: now, isLeader: isLeader()});
    if (!next) return this.#take(found);
    if (secret)
      log.warn('the certificates are written anew', {
        object: `${namespace}/${name}`,
        why: found.problems.join('; ') || 'they are old',
      });
    else log.info('certificates are written', {object: `${namespace}/${name}`});
    try {
      await this.#write(secret, next, signal);
      this.#take(next);
      await delay(PAUSE_MS, undefined, {signal}); // for somebody who undoes what we do, again and again
    } catch (error) {
      if (!isConflict(error)) throw error;
      await delay(PAUSE_MS, undefined, {signal}); // another was first: the watch brings what it wrote
    }
  }

  async #write(secret: TlsSecret | undefined, next: Certificates, signal: AbortSignal): Promise<void> {
    const {client, namespace, name} = this.#options;
    const place = {namespace, name};
    const labels = {...secret?.metadata.labels, 'app.kubernetes.io/managed-by': 'noost'};
    const data = dataOf(next);
    if (secret) {
      try {
        await client.replace<TlsSecret>(
          SECRETS,
          place,
          {...secret, metadata: {...secret.metadata, labels}, data},
          {signal},
        );
        return;
      } catch (error) {
        // Immutable, or of a type that cannot hold this: only another Secret can.
        if (!(error instanceof KubeError) || error.reason !== 'Invalid') throw error;
        await client.delete(SECRETS, place, {uid: secret.metadata.uid, signal});
      }
    }
    await client.create<TlsSecret>(SECRETS, place, {metadata: {labels}, type: 'kubernetes.io/tls', data}, {signal});
  }

  #take(certificates: Certificates): void {
    const isNew =
      certificates.leaf?.cert !== this.#known.leaf?.cert ||
      certificates.authority?.cert !== this.#known.authority?.cert ||
      certificates.previous.length !== this.#known.previous.length;
    this.#known = certificates;
    if (isNew) this.#options.onChange();
  }
}
