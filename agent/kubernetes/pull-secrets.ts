import {DockerConfig, type Login} from '../../oci/docker-config.ts';
import type {RepositoryName} from '../../oci/source.ts';
import type {KubeClient} from '../../kube/client.ts';
import {ListWatch} from '../../kube/list-watch.ts';
import type {KubeLog} from '../../kube/log.ts';
import type {KubeObject} from '../../kube/object.ts';
import {SECRETS} from '../../kube/resources.ts';

/** A Secret by its name, in a namespace. */
export interface SecretName {
  readonly namespace: string;
  readonly name: string;
}

/** What is kept of a Secret: what it says of registries, never its text. */
interface Kept extends KubeObject {
  readonly logins: DockerConfig | undefined;
  /** Why there are none. Holds nothing of the Secret's content. */
  readonly problem: string | undefined;
}

interface Secret extends KubeObject {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
}

export interface PullSecretsOptions {
  readonly client: Pick<KubeClient, 'list' | 'watch'>;
  readonly names: readonly SecretName[];
  /** A Secret came, changed or went: what was refused lately may be asked again. */
  readonly onChange: () => void;
  /** Says what is wrong with a Secret, in words that may be shown to anybody. */
  readonly onProblem: (secret: SecretName, problem: string) => void;
  readonly log: KubeLog;
}

/** Key of a Secret's data → whether it is the old form. */
const KEYS = ['.dockerconfigjson', '.dockercfg'] as const;

/** The node's logins, from Secrets that are followed: what is written into one counts within a second. */
export class PullSecrets implements AsyncDisposable {
  readonly #watches: readonly ListWatch<Kept>[];

  constructor(options: PullSecretsOptions) {
    this.#watches = options.names.map((name) => newWatch(name, options));
    for (const watch of this.#watches) watch.start();
  }

  /** Whether every Secret was looked for once, be it there or not. */
  get synced(): boolean {
    return this.#watches.every(({synced}) => synced);
  }

  /** The login for a repository; of several Secrets that have one, the first that was named. */
  find(name: RepositoryName): Login | undefined {
    for (const watch of this.#watches)
      for (const {logins} of watch.values()) {
        const login = logins?.find(name);
        if (login !== undefined) return login;
      }
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#watches.map(async (watch) => await watch.stop()));
  }
}

/** By name alone: the agent has no right to see the others. */
function newWatch(wanted: SecretName, {client, onChange, onProblem, log}: PullSecretsOptions): ListWatch<Kept> {
  const tell = (kept: Kept | undefined): void => {
    const problem = kept === undefined ? 'There is no such Secret' : kept.problem;
    if (problem !== undefined) onProblem(wanted, problem);
  };
  const watch: ListWatch<Kept> = new ListWatch<Kept>({
    client,
    type: SECRETS,
    namespace: wanted.namespace,
    fieldSelector: `metadata.name=${wanted.name}`,
    keep: (secret) => keep(secret as KubeObject as Secret),
    onChange: ({type, object}) => {
      tell(type === 'deleted' ? undefined : object);
      onChange();
    },
    onSynced: () => {
      if (watch.size === 0) tell(undefined);
    },
    log,
  });
  return watch;
}

function keep({metadata, type, data = {}}: Secret): Kept {
  const {name = '', namespace = '', resourceVersion = ''} = metadata;
  const kept = {metadata: {name, namespace, resourceVersion}};
  const key = KEYS.find((one) => data[one] !== undefined);
  if (key === undefined) {
    const problem = `expected the type kubernetes.io/dockerconfigjson, with the key .dockerconfigjson; it is ${type ?? 'of no type'}`;
    return {...kept, logins: undefined, problem};
  }
  try {
    const logins = new DockerConfig(Buffer.from(data[key] ?? '', 'base64').toString());
    return {...kept, logins, problem: undefined};
  } catch (error) {
    return {...kept, logins: undefined, problem: `${key}: ${(error as Error).message}`}; // which quotes nothing of it
  }
}
