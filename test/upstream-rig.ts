import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {AskOptions, RepositoryName, Source, Upstream} from '../oci/source.ts';
import {Upstreams, type UpstreamsOptions} from '../oci/upstream-client.ts';
import type {CredentialSettings, UpstreamEvents, UpstreamSettings} from '../oci/upstream-settings.ts';
import {FakeRegistry, type FakeOptions} from './fake-registry.ts';

/** A fake registry, and the client that has it as `reg.test`. */
export interface UpstreamRig extends AsyncDisposable {
  readonly fake: FakeRegistry;
  readonly upstreams: Upstreams;
  readonly upstream: Upstream;
  /** What the client reported, as `name argument…`, without durations. */
  readonly events: string[];
  /** Files of this rig: the password is in `password`. */
  readonly dir: string;
  /** The registry itself as a source. */
  source(): Source;
}

export const NAME: RepositoryName = {registry: 'reg.test', repository: 'acme/app'};
/** Short enough for tests, long enough for a loaded machine. */
export const QUICK = {
  retryMs: 5,
  budgetMs: 4000,
  mirrorBudgetMs: 1500,
  headersMs: 3000,
  stallMs: 3000,
  connectMs: 3000,
};

export function ask(authority: AskOptions['authority'] = 'anonymous', more: Partial<AskOptions> = {}): AskOptions {
  return {authority, allowPrivate: false, signal: new AbortController().signal, ...more};
}

export function settings(more: Partial<UpstreamSettings> = {}): UpstreamSettings {
  return {
    host: 'reg.test',
    url: undefined,
    mirrors: [],
    credentials: undefined,
    tls: undefined,
    maxConnections: 8,
    ...more,
  };
}

export function login(more: Partial<CredentialSettings>): CredentialSettings {
  return {
    username: undefined,
    passwordFile: undefined,
    dockerConfigFile: undefined,
    credentialHelper: undefined,
    realms: [],
    ...more,
  };
}

export async function newUpstreamRig(
  options: FakeOptions & {
    settings?: Partial<UpstreamSettings>;
    /** User `user` with the password that the fake knows. */
    login?: boolean;
    client?: Partial<UpstreamsOptions>;
  } = {},
): Promise<UpstreamRig> {
  const fake = await FakeRegistry.start(options);
  const dir = await mkdtemp(join(tmpdir(), 'noost-rig-'));
  const passwordFile = join(dir, 'password');
  await writeFile(passwordFile, 'secret\n');
  const credentials = options.login ? login({username: 'user', passwordFile}) : undefined;
  const events: string[] = [];
  const upstreams = newUpstreams([settings({url: fake.url, credentials, ...options.settings})], {
    events: recorder(events),
    ...options.client,
  });
  const upstream = upstreams.for(NAME);
  return {
    fake,
    upstreams,
    upstream,
    events,
    dir,
    source: () => upstream.sources(NAME).at(-1)!,
    async [Symbol.asyncDispose]() {
      await upstreams.close();
      await fake[Symbol.asyncDispose]();
      await rm(dir, {recursive: true, force: true});
    },
  };
}

export function newUpstreams(upstreams: readonly UpstreamSettings[], more: Partial<UpstreamsOptions> = {}): Upstreams {
  const {timeouts, ...rest} = more;
  const base = {
    allowPrivate: false,
    ownAddresses: [],
    hop: 'this-agent',
    userAgent: 'noost-test',
    events: {},
    env: {},
    random: () => 0.5,
  };
  return new Upstreams({...base, upstreams, timeouts: {...QUICK, ...timeouts}, ...rest});
}

export function recorder(events: string[]): UpstreamEvents {
  return {
    request: (label, outcome) => void events.push(`request ${label} ${outcome}`),
    token: (label, outcome) => void events.push(`token ${label} ${outcome}`),
    credentialsFailed: (label, message) => void events.push(`credentialsFailed ${label} ${message}`),
    rateLimitRemaining: (label, remaining) => void events.push(`rateLimitRemaining ${label} ${remaining}`),
    ssrfDenied: (where) => void events.push(`ssrfDenied ${where}`),
    breaker: (label, open) => void events.push(`breaker ${label} ${open}`),
    retry: (label) => void events.push(`retry ${label}`),
    resumed: (label) => void events.push(`resumed ${label}`),
  };
}
