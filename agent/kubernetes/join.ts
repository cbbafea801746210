import {isInCluster} from '../../kube/access.ts';
import {matchUpstream} from '../../oci/match.ts';
import type {RepositoryName} from '../../oci/source.ts';
import type {UpstreamConfig} from '../../oci/upstream-config.ts';
import type {Log} from '../../proc/log.ts';
import type {AgentConfig} from '../config/shape.ts';
import type {Events} from '../events.ts';
import type {Puller} from '../pull/puller.ts';
import type {Store} from '../store/contract.ts';
import {VERSION} from '../version.ts';
import type {KubernetesPart} from './kubernetes.ts';

/**
 * Loads and begins what is for the inside of a cluster; elsewhere it costs no memory. What it cannot do costs what it is
 * for, and no pull.
 */
export async function joinCluster(agent: {
  readonly config: Pick<AgentConfig, 'kubernetes'>;
  readonly log: Log;
  readonly store: Pick<Store, 'protect'>;
  readonly puller: Pick<Puller, 'reloaded'>;
  readonly events: Pick<Events, 'degraded'>;
}): Promise<KubernetesPart | undefined> {
  const {config, log, store, puller, events} = agent;
  if (!isInCluster(process.env)) return undefined;
  try {
    const {startKubernetes} = await import('./kubernetes.ts');
    const part = await startKubernetes({
      config: config.kubernetes,
      env: process.env,
      userAgent: `noost-agent/${VERSION}`,
      protect: async (digests) => await store.protect(digests),
      onLogins: () => puller.reloaded(), // what was refused without them is asked again
      log,
    });
    const degraded = events.degraded();
    if (degraded !== undefined) part.warn('DataFolderFailed', `The data folder cannot be used: ${degraded}`);
    return part;
  } catch (error) {
    log.error('the cluster cannot be asked: there are no pull secrets, and no images are known to be in use', {
      error: (error as Error).message,
    });
    return undefined;
  }
}

/** Whether the Secrets have a login for a repository, or for a mirror that it may come from. */
export function hasLogin(
  part: Pick<KubernetesPart, 'find'> | undefined,
  upstreams: readonly UpstreamConfig[],
  name: RepositoryName,
): boolean {
  if (part === undefined) return false;
  const mirrors = matchUpstream(upstreams, name)?.mirrors ?? [];
  const hosts = [name.registry, ...mirrors.map((mirror) => new URL(mirror).host)];
  return hosts.some((registry) => part.find({...name, registry}) !== undefined);
}
