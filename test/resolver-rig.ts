import type {Digest} from '../oci/digest.ts';
import type {RepositoryName} from '../oci/source.ts';
import {policyFor} from '../oci/upstream-policy.ts';
import type {UpstreamConfig} from '../oci/upstream-config.ts';
import {newUpstreamRig, NAME, settings, type UpstreamRig} from './upstream-rig.ts';
import {Resolver, type Rights} from '../webhook/resolve/resolver.ts';

export const HOUR = 3_600_000;
const CONFIG: UpstreamConfig = {
  ...settings(),
  freshForMs: 30_000,
  staleIfError: {down: HOUR, timeout: HOUR, tooManyRequests: HOUR, serverError: HOUR, notFound: 0},
  offline: false,
  cache: 'always',
};

/** A resolver of a fake registry, its clock in the test's hands. */
export interface ResolverRig extends AsyncDisposable {
  readonly rig: UpstreamRig;
  readonly resolver: Resolver;
  readonly rights: Rights;
  /** What the resolver told: outcomes in their order. */
  readonly told: string[];
  /** Moves its clock. */
  pass(ms: number): void;
  resolve(tag?: string, expected?: Digest, rights?: Rights): Promise<string>;
  /** What the registry was asked since, `HEAD /v2/…`. */
  asked(): string[];
}

export async function newRig(config: Partial<UpstreamConfig> = {}): Promise<ResolverRig> {
  const rig = await newUpstreamRig();
  let now = 1_000_000;
  const told: string[] = [];
  const upstreams = [{...CONFIG, ...config}];
  const resolver = new Resolver({
    policy: (name) => policyFor(upstreams, name),
    allowPrivate: false,
    events: {resolved: (outcome) => told.push(outcome)},
    now: () => now,
  });
  const rights: Rights = {key: 'own', upstream: (name: RepositoryName) => rig.upstreams.for(name)};
  return {
    rig,
    resolver,
    rights,
    told,
    pass: (ms) => {
      now += ms;
    },
    resolve: async (tag = 'v1', expected, as = rights) =>
      (await resolver.resolve({name: NAME, tag, rights: as, tenant: 'team-a', expected}, AbortSignal.timeout(60_000)))
        .digest,
    asked: () => rig.fake.lines('registry').splice(0),
    [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose](),
  };
}
