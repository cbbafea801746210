import type {Digest} from '../../oci/digest.ts';
import type {Login} from '../../oci/docker-config.ts';
import type {RepositoryName} from '../../oci/source.ts';
import {connect} from '../../kube/connect.ts';
import {EventRecorder, type Regarding} from '../../kube/events.ts';
import type {KubeLog} from '../../kube/log.ts';
import type {KubernetesConfig} from '../config/shape.ts';
import {ImagesInUse} from './images-in-use.ts';
import {PullSecrets} from './pull-secrets.ts';

export interface KubernetesOptions {
  readonly config: KubernetesConfig;
  readonly env: NodeJS.ProcessEnv;
  readonly userAgent: string;
  readonly protect: (digests: readonly Digest[]) => Promise<void>;
  /** Logins changed. */
  readonly onLogins: () => void;
  readonly log: KubeLog;
}

/** What an Event may give for its reason. */
export type EventReason = 'ConfigurationInvalid' | 'PullSecretInvalid' | 'NodeConfigurationFailed' | 'DataFolderFailed';

/** What the agent learns from the cluster and tells it. Nothing waits for it: without an API server images are served all the same. */
export interface KubernetesPart extends AsyncDisposable {
  /** What the Secrets know for a repository now. */
  find(name: RepositoryName): Login | undefined;
  /** A Warning about this agent's pod: shown by `kubectl describe pod`. Only for what an administrator has to change (E-015). */
  warn(reason: EventReason, message: string): void;
}

/** Begins to follow what the configuration names. Needs a pod: call it where `isInCluster`. */
export async function startKubernetes(options: KubernetesOptions): Promise<KubernetesPart> {
  const {config, env, log, onLogins, protect} = options;
  const client = await connect({env, userAgent: options.userAgent});
  const own = client.namespace ?? env['POD_NAMESPACE'] ?? 'default';
  const events = new EventRecorder({client, component: 'noost-agent', instance: env['NODE_NAME'], log});
  const pod = podOf(env, own);
  const warn: KubernetesPart['warn'] = (reason, message) => {
    if (pod !== undefined && config.events) events.record({regarding: pod, type: 'Warning', reason, message});
  };
  const secrets = new PullSecrets({
    client,
    names: config.pullSecrets.map(({namespace = own, name}) => ({namespace, name})),
    onChange: onLogins,
    onProblem: ({namespace, name}, problem) => {
      const message = `The pull secret ${namespace}/${name} cannot be used: ${problem}`;
      log.warn(message);
      warn('PullSecretInvalid', message);
    },
    log,
  });
  const node = env['NODE_NAME'];
  if (config.protectImagesInUse && node === undefined)
    log.warn('images in use are not protected from eviction: NODE_NAME is not set to the name of the node');
  const images =
    config.protectImagesInUse && node !== undefined ? new ImagesInUse({client, node, protect, log}) : undefined;
  return {
    find: (name) => secrets.find(name),
    warn,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([secrets[Symbol.asyncDispose](), images?.[Symbol.asyncDispose](), events.close()]);
      client[Symbol.dispose]();
    },
  };
}

function podOf(env: NodeJS.ProcessEnv, namespace: string): Regarding | undefined {
  const name = env['POD_NAME'];
  if (name === undefined) return undefined;
  return {apiVersion: 'v1', kind: 'Pod', namespace: env['POD_NAMESPACE'] ?? namespace, name, uid: env['POD_UID']};
}

/**
 * For an agent that cannot start: one Event about its pod, within `ms`, or none. Never throws: the caller has an error of
 * its own to tell.
 */
export async function reportFailedStart(env: NodeJS.ProcessEnv, message: string, ms = 3000): Promise<void> {
  try {
    using client = await connect({env, userAgent: 'noost-agent'});
    const pod = podOf(env, client.namespace ?? 'default');
    if (pod === undefined) return;
    const events = new EventRecorder({client, component: 'noost-agent', instance: env['NODE_NAME']});
    events.record({regarding: pod, type: 'Warning', reason: 'ConfigurationInvalid', message});
    await events.close(ms);
  } catch {
    // The log has it.
  }
}
