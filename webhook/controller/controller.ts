import {randomBytes} from 'node:crypto';
import {hostname} from 'node:os';
import type {Server} from 'node:tls';
import type {KubeClient} from '../../kube/client.ts';
import {LeaderElection} from '../../kube/lease.ts';
import type {KubeLog} from '../../kube/log.ts';
import type {WebhookConfig} from '../config/shape.ts';
import type {PolicySet} from '../policy/policy-set.ts';
import type {CertificateSource} from './certificate-source.ts';
import {ConfigurationKeeper} from './configuration-keeper.ts';
import {GivenCertificates} from './given-certificates.ts';
import {isTrusted} from './key-pair.ts';
import {ensureNamespace, Namespaces} from './namespaces.ts';
import {OwnCertificates} from './own-certificates.ts';
import {keepPolicyStatus} from './policy-status.ts';
import {PolicyWatch} from './policy-watch.ts';
import {Replicas} from './replicas.ts';
import {ServedCertificate} from './served-certificate.ts';
import {Wakeup} from './wakeup.ts';
import {WebhookConfigurations} from './webhook-configurations.ts';

export interface ControllerOptions {
  readonly client: KubeClient;
  readonly config: WebhookConfig;
  readonly log: KubeLog;
  /** @default the client's, which is the API server's where the two differ */
  readonly nowMs?: () => number;
}

/** Of a Service without more said. */
const SERVICE_PORT = 443;

/**
 * What one replica knows of the cluster and does to it: follows policies and namespaces, has a certificate, and, if it
 * leads, keeps the webhook configurations and the status of policies.
 */
export class Controller implements AsyncDisposable {
  readonly namespaces: Namespaces;
  readonly served: ServedCertificate;
  readonly #config: WebhookConfig;
  readonly #policies: PolicyWatch;
  readonly #configurations: WebhookConfigurations;
  readonly #certificates: CertificateSource;
  readonly #replicas: Replicas | undefined;
  readonly #election: LeaderElection;
  readonly #keeper: ConfigurationKeeper;
  readonly #keeperWakeup = new Wakeup();
  readonly #statusWakeup = new Wakeup();

  constructor({client, config, log, nowMs = () => client.nowMs()}: ControllerOptions) {
    const {namespace, service, url} = config;
    this.#config = config;
    const wake = (): void => {
      this.served.recheck();
      this.#keeperWakeup.wake();
    };
    this.#configurations = new WebhookConfigurations({client, name: service, log, onChange: wake});
    this.served = new ServedCertificate({log, nowMs, trusted: () => this.#configurations.trusted});
    this.namespaces = new Namespaces({
      client,
      own: namespace,
      log,
      onChange: () => {
        if (url !== undefined && this.namespaces.synced && !this.namespaces.owner)
          void ensureNamespace(client, namespace, log);
        wake();
        this.#statusWakeup.wake();
      },
    });
    this.#policies = new PolicyWatch({
      client,
      ownNamespace: namespace,
      log,
      onChange: () => {
        this.#statusWakeup.wake();
        this.#keeperWakeup.wake();
      },
    });
    this.#certificates = this.#newCertificates({client, log, nowMs}, wake);
    this.#replicas = url === undefined ? new Replicas({client, namespace, service, onChange: wake, log}) : undefined;
    this.#keeper = new ConfigurationKeeper({
      client,
      configurations: this.#configurations,
      namespace,
      target: url === undefined ? {service: {namespace, name: service, port: SERVICE_PORT}} : {url},
      configured: config.failurePolicy,
      bundle: () => this.#certificates.bundle.map((one) => one.toString()).join(''),
      switch: () => this.namespaces.switch,
      owner: () => (url === undefined ? this.namespaces.owner : undefined),
      replicas: this.#replicas ?? this.#alone(),
      log,
    });
    this.#election = new LeaderElection({
      client,
      namespace,
      name: service,
      identity: `${hostname()}-${randomBytes(4).toString('hex')}`,
      log,
      lead: async (signal) => {
        if (this.#certificates instanceof OwnCertificates) this.#certificates.recheck();
        await Promise.all([
          this.#keeper.keep(this.#keeperWakeup, signal),
          keepPolicyStatus(
            {client, policies: this.#policies, log, nowMs, switch: () => this.namespaces.switch},
            this.#statusWakeup,
            signal,
          ),
        ]);
      },
    });
  }

  start(): void {
    for (const part of [this.#policies, this.namespaces, this.#configurations, this.#certificates, this.#election])
      part.start();
    this.#replicas?.start();
  }

  /** The server answers with the certificate of the moment. */
  attach(server: Server): void {
    this.served.attach(server);
  }

  /** What reviews are judged by; `undefined` until everything was read once. */
  get policies(): PolicySet | undefined {
    return this.#policies.compiled?.set;
  }

  get leading(): boolean {
    return this.#election.leading;
  }

  /** Policies that there are, whether or not they can be used. */
  get policyCount(): number {
    return this.#policies.objects().filter(({kind}) => kind !== 'ImagePolicyException').length;
  }

  /** Why reviews cannot be answered; `undefined`: they can. */
  get cannotJudge(): string | undefined {
    if (this.policies === undefined) return because('policies are not read yet', this.#policies.failure);
    if (!this.namespaces.synced) return because('namespaces are not read yet', this.namespaces.failure);
    return undefined;
  }

  /** Why the API server should not call this replica, or would not be answered; `undefined`: it is ready. */
  get notReady(): string | undefined {
    const cannot = this.cannotJudge;
    if (cannot !== undefined) return cannot;
    const {current} = this.served;
    if (current === undefined) return this.#certificates.problem ?? 'there is no certificate yet';
    if (this.namespaces.switch === 'off') return undefined; // nobody calls, as was wanted
    const {synced, inPlace, trusted = []} = this.#configurations;
    if (!synced || !inPlace)
      return because(
        'the webhook configurations are not in place yet',
        this.#configurations.failure ?? this.#election.failure,
        this.#keeper.problem,
      );
    if (!trusted.every((bundle) => isTrusted(current, bundle)))
      return 'the webhook configurations do not trust the certificate yet';
    // Behind a Service, being ready comes first: replicas that are ready are what arms the webhook.
    return this.#config.url === undefined || this.#isArmed ? undefined : 'the webhook is not armed yet';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#election.stop();
    this.served[Symbol.dispose]();
    const parts: readonly (AsyncDisposable | undefined)[] = [
      this.#certificates,
      this.#replicas,
      this.#configurations,
      this.#policies,
      this.namespaces,
    ];
    await Promise.all(parts.map(async (part) => await part?.[Symbol.asyncDispose]()));
  }

  get #isArmed(): boolean {
    const wanted = this.namespaces.switch === 'ignore' ? 'Ignore' : this.#config.failurePolicy;
    const entries = this.#configurations.get('validating')?.webhooks ?? [];
    return entries.some(({name, failurePolicy}) => name === 'validate.noost.dev' && failurePolicy === wanted);
  }

  /** Where the API server calls a URL, this replica is all that it can call. */
  #alone(): {readonly ready: number; readonly wanted: number} {
    const isUp = (): boolean => this.cannotJudge === undefined && this.served.current !== undefined;
    return {
      get ready(): number {
        return isUp() ? 1 : 0;
      },
      wanted: 1,
    };
  }

  #newCertificates(
    {client, log, nowMs}: Required<Omit<ControllerOptions, 'config'>>,
    wake: () => void,
  ): CertificateSource {
    const {certificates, namespace, service, url} = this.#config;
    const names = url === undefined ? [`${service}.${namespace}.svc`] : [hostOf(url)];
    const onChange = (): void => {
      const {pair} = this.#certificates;
      if (pair !== undefined) this.served.offer(pair);
      wake();
    };
    const {certFile, keyFile, caFile, lifetimeMs} = certificates;
    if (certFile !== undefined && keyFile !== undefined && caFile !== undefined)
      return new GivenCertificates({certFile, keyFile, caFile, names, onChange, log});
    return new OwnCertificates({
      client,
      namespace,
      name: `${service}-tls`,
      names,
      lifetimeMs,
      isLeader: () => this.#election.leading,
      onChange,
      log,
      nowMs,
    });
  }
}

function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[|\]$/g, '');
}

function because(what: string, failure: Error | undefined, problem?: string): string {
  const why = failure?.message ?? problem;
  return why === undefined ? what : `${what}: ${why}`;
}
