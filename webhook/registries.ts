import type {KubeClient} from '../kube/client.ts';
import type {KubeObject} from '../kube/object.ts';
import {SECRETS} from '../kube/resources.ts';
import {newNameMap} from '../oci/name-map.ts';
import type {RepositoryName} from '../oci/source.ts';
import {Upstreams} from '../oci/upstream-client.ts';
import {policyFor} from '../oci/upstream-policy.ts';
import type {Log} from '../proc/log.ts';
import type {PodRights} from './admission/context.ts';
import {Identities} from './admission/identity.ts';
import type {WebhookConfig} from './config/shape.ts';
import type {WebhookMetrics} from './metrics.ts';
import {globMatches} from './policy/glob.ts';
import {PullSecrets} from './resolve/pull-secrets.ts';
import {Resolver, type Rights} from './resolve/resolver.ts';
import {upstreamEvents} from './tell.ts';

export interface RegistriesOptions {
  readonly config: WebhookConfig;
  readonly client: KubeClient;
  readonly metrics: WebhookMetrics;
  readonly log: Log;
  readonly userAgent: string;
}

/** What the webhook knows and asks of registries: names, tags, and with whose rights. */
export class Registries {
  readonly resolver: Resolver;
  #identities: Identities;
  #config: WebhookConfig;
  readonly #upstreams: Upstreams;
  readonly #own: Rights;
  readonly #secrets: PullSecrets;

  constructor({config, client, metrics, log, userAgent}: RegistriesOptions) {
    this.#config = config;
    this.#identities = newIdentities(config);
    const options = {
      allowPrivate: config.allowPrivateUpstreams,
      ownAddresses: [config.listen, config.adminListen],
      hop: '', // the webhook serves no images: nothing comes back to it
      userAgent,
      events: upstreamEvents(metrics, log),
      env: process.env,
    };
    this.#upstreams = new Upstreams({...options, upstreams: config.upstreams});
    this.#own = {key: 'own', upstream: (name) => this.#upstreams.for(name)};
    this.#secrets = new PullSecrets({
      read: (namespace, name, signal) => readPullSecret(client, namespace, name, signal),
      newClient: (credentials) => new Upstreams({...options, upstreams: this.#config.upstreams, credentials}),
      failed: (namespace, secret, error) =>
        log.warn('a pull secret cannot be used: the image is resolved without it', {namespace, secret, error}),
    });
    this.resolver = new Resolver({
      policy: (name) => policyFor(this.#config.upstreams, name),
      allowPrivate: config.allowPrivateUpstreams,
      events: {
        resolved: (result, ms) => {
          metrics.tagResolved(result, ms / 1000);
        },
      },
    });
  }

  get identities(): Identities {
    return this.#identities;
  }

  /** The pod's own, where the administrator lets its pull secrets be read; else the webhook's. */
  async rightsFor(name: RepositoryName, pod: PodRights, signal: AbortSignal): Promise<Rights> {
    const {pullSecretNamespaces} = this.#config.pin;
    if (pod.secrets.length === 0 || !pullSecretNamespaces.some((glob) => globMatches(glob, pod.namespace)))
      return this.#own;
    return (await this.#secrets.rightsFor(name, pod, signal)) ?? this.#own;
  }

  reload(config: WebhookConfig): void {
    this.#config = config;
    this.#identities = newIdentities(config);
    this.#upstreams.reload(config.upstreams);
    this.resolver.reloaded();
  }

  async close(): Promise<void> {
    this.#secrets.close();
    await this.#upstreams.close();
  }
}

function newIdentities({rewrite}: WebhookConfig): Identities {
  return new Identities(newNameMap(rewrite));
}

/** Both forms that a pull secret can have; `undefined` for another secret, or none. */
async function readPullSecret(
  client: KubeClient,
  namespace: string,
  name: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const ask = {signal, deadlineMs: 2_000};
  const secret = await client.find<KubeObject & {readonly data?: Readonly<Record<string, string>>}>(
    SECRETS,
    {namespace, name},
    ask,
  );
  const {['.dockerconfigjson']: config, ['.dockercfg']: old} = secret?.data ?? {};
  if (config !== undefined) return Buffer.from(config, 'base64').toString('utf8');
  if (old === undefined) return undefined;
  return `{"auths":${Buffer.from(old, 'base64').toString('utf8')}}`;
}
