import {LRUCache} from 'lru-cache';
import {Credentials, KeyedLogins, type CredentialSource} from './credentials.ts';
import type {Login} from './docker-config.ts';
import {Endpoint} from './endpoint.ts';
import {UpstreamError} from './error.ts';
import {Guard, type OwnAddress, type Where} from './guard.ts';
import type {Resolve} from './lookups.ts';
import type {ProxyEnv} from './proxy.ts';
import {DOCKER_HUB, parseRegistry} from './reference.ts';
import type {RepositoryName, Upstream} from './source.ts';
import {Transport} from './transport.ts';
import {RegistryUpstream} from './upstream.ts';
import {DEFAULT_TIMEOUTS, type Timeouts, type UpstreamEvents, type UpstreamSettings} from './upstream-settings.ts';

export interface UpstreamsOptions {
  readonly upstreams: readonly UpstreamSettings[];
  /** Whether an upstream that is not configured may be at a private address. */
  readonly allowPrivate: boolean;
  /** Ranges where such an upstream is not, even so: `10.244.0.0/16`. */
  readonly deniedRanges?: readonly string[] | undefined;
  /** Logins from elsewhere than the settings, keyed by host; for upstreams whose settings name no credentials. */
  readonly logins?: ((name: RepositoryName) => Login | undefined) | undefined;
  /** Where we listen: nothing is ever asked of ourselves (D-015). */
  readonly ownAddresses: readonly OwnAddress[];
  /** This agent's id, sent in Noost-Hop. */
  readonly hop: string;
  readonly userAgent: string;
  readonly events: UpstreamEvents;
  /** HTTPS_PROXY, HTTP_PROXY, NO_PROXY. */
  readonly env: ProxyEnv;
  readonly timeouts?: Partial<Timeouts>;
  /** In place of what the settings say, for every registry, keyed by its host. */
  readonly credentials?: CredentialSource;
  readonly lookup?: Resolve;
  /** Monotonic, in milliseconds. */
  readonly now?: () => number;
  /** Milliseconds since the epoch, for dates that others send. */
  readonly wallNow?: () => number;
  readonly random?: () => number;
}

interface Configured {
  readonly settings: UpstreamSettings;
  readonly registry: string;
  /** Components, `''` for the whole registry. */
  readonly path: string;
  readonly upstream: RegistryUpstream;
}

/** Registries that nobody configured are remembered up to this many, with their connections and tokens. */
const MAX_OTHERS = 64;
const MAX_CONNECTIONS = 32;
const OTHER = 'other';
const HUB_URL = 'https://registry-1.docker.io';

/** Every registry there is, as seen from this node: the configured ones, and all others by their name. */
export class Upstreams {
  readonly #options: UpstreamsOptions;
  readonly #guard: Guard;
  #configured: readonly Configured[] = [];
  #defaults: UpstreamSettings | undefined;
  readonly #others = new LRUCache<string, RegistryUpstream>({
    max: MAX_OTHERS,
    dispose: (upstream) => void upstream.close(),
  });

  constructor(options: UpstreamsOptions) {
    this.#options = options;
    const {ownAddresses, lookup, events, deniedRanges} = options;
    const denied = (where: Where): void => events.ssrfDenied?.(where);
    this.#guard = new Guard({own: ownAddresses, resolve: lookup, denied, deniedRanges});
    this.reload(options.upstreams);
  }

  /**
   * The upstream of a repository: the configured one with the longest path that it is in, else the registry itself.
   * @throws {UpstreamError} `refused` for a registry that is no name of one.
   */
  for({registry, repository}: RepositoryName): Upstream {
    const matching = this.#configured.filter(
      (one) =>
        one.registry === registry &&
        (one.path === '' || repository === one.path || repository.startsWith(`${one.path}/`)),
    );
    const longest = matching.toSorted((a, b) => b.path.length - a.path.length)[0];
    return longest?.upstream ?? this.#other(registry);
  }

  /** Takes new settings. What is unchanged keeps its connections and tokens; what goes finishes what it is doing. */
  reload(upstreams: readonly UpstreamSettings[]): void {
    const before = new Map(this.#configured.map((one) => [JSON.stringify(one.settings), one]));
    const named = upstreams.filter(({host}) => host !== '*');
    this.#configured = named.map((settings) => before.get(JSON.stringify(settings)) ?? this.#configure(settings));
    for (const one of before.values()) if (!this.#configured.includes(one)) void one.upstream.close();
    this.#defaults = upstreams.find(({host}) => host === '*');
    this.#others.clear();
  }

  /** Breaks off what is under way. */
  async close(): Promise<void> {
    const all = [...this.#configured.map(({upstream}) => upstream), ...this.#others.values()];
    await Promise.all(all.map((upstream) => upstream.destroy()));
  }

  #configure(settings: UpstreamSettings): Configured {
    const [, host = '', path = ''] = /^([^/]+)(?:\/(.*?))?\/*$/.exec(settings.host) ?? [];
    const registry = parseRegistry(host);
    const url = new URL(settings.url ?? urlOf(registry));
    return {settings, registry, path, upstream: this.#newUpstream(settings.host, registry, url, settings, true)};
  }

  #other(registry: string): RegistryUpstream {
    const held = this.#others.get(registry);
    if (held) return held;
    const upstream = this.#newUpstream(OTHER, registry, this.#nameToUrl(registry), this.#defaults, false);
    this.#others.set(registry, upstream);
    return upstream;
  }

  /** A name that means another one once it is in a URL is refused before anything is asked (D-012). */
  #nameToUrl(registry: string): URL {
    try {
      if (parseRegistry(registry) === registry) return new URL(urlOf(registry));
    } catch {
      // falls through: not a registry
    }
    this.#options.events.ssrfDenied?.('upstream');
    throw new UpstreamError('refused', registry.slice(0, 255), 'upstream refused: not the name of a registry');
  }

  #newUpstream(
    label: string,
    registry: string,
    url: URL,
    settings: UpstreamSettings | undefined,
    configured: boolean,
  ): RegistryUpstream {
    const {logins} = this.#options;
    const credentials =
      this.#options.credentials ??
      (settings?.credentials ? this.#newCredentials(label, settings.credentials) : logins && new KeyedLogins(logins));
    const place = {registry, label, settings, credentials};
    const mirrors = (settings?.mirrors ?? []).map((mirror) =>
      this.#newEndpoint({...place, kind: 'mirror', url: new URL(mirror), configured: true}),
    );
    return new RegistryUpstream(label, mirrors, this.#newEndpoint({...place, kind: 'upstream', url, configured}));
  }

  #newCredentials(label: string, settings: NonNullable<UpstreamSettings['credentials']>): Credentials {
    const {now = monotonic, events} = this.#options;
    return new Credentials(settings, {now, failed: (message) => events.credentialsFailed?.(label, message)});
  }

  #newEndpoint(place: {
    kind: 'upstream' | 'mirror';
    registry: string;
    label: string;
    url: URL;
    configured: boolean;
    settings: UpstreamSettings | undefined;
    credentials: CredentialSource | undefined;
  }): Endpoint {
    const {
      hop,
      userAgent,
      allowPrivate,
      events,
      env,
      timeouts,
      now = monotonic,
      wallNow = Date.now,
      random = Math.random,
    } = this.#options;
    const {kind, registry, label, url, configured, settings, credentials} = place;
    const common = {
      registry,
      label,
      guard: this.#guard,
      events,
      timeouts: {...DEFAULT_TIMEOUTS, ...timeouts},
      now,
      random,
    };
    const maxConnections = settings?.maxConnections ?? MAX_CONNECTIONS;
    const transport = new Transport({...common, tls: settings?.tls, maxConnections, env});
    // A password is for the registry it was written for, and for no other or mirror (design §4.1).
    const keyedOnly = !configured || kind === 'mirror';
    return new Endpoint({
      ...common,
      kind,
      url,
      configured,
      credentials,
      keyedOnly,
      certificate: settings?.tls?.certFile !== undefined,
      allowPrivate,
      transport,
      hop,
      userAgent,
      wallNow,
    });
  }
}

function urlOf(registry: string): string {
  return registry === DOCKER_HUB ? HUB_URL : `https://${registry}`;
}

function monotonic(): number {
  return performance.now();
}
