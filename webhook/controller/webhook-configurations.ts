import {X509Certificate} from 'node:crypto';
import {isDeepStrictEqual} from 'node:util';
import type {KubeClient} from '../../kube/client.ts';
import {KubeError} from '../../kube/error.ts';
import {ListWatch} from '../../kube/list-watch.ts';
import type {KubeLog} from '../../kube/log.ts';
import type {KubeObject, OwnerReference, ResourceType} from '../../kube/object.ts';
import {MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS} from '../../kube/resources.ts';
import {readCertificates} from './key-pair.ts';
import type {WebhookEntry} from './webhook-entries.ts';

export interface WebhookConfiguration extends KubeObject {
  readonly webhooks?: readonly WebhookEntry[];
}

export type ConfigurationKind = 'mutating' | 'validating';
export const CONFIGURATIONS: Readonly<Record<ConfigurationKind, ResourceType>> = {
  mutating: MUTATING_WEBHOOKS,
  validating: VALIDATING_WEBHOOKS,
};
export const FIELD_MANAGER = 'noost-webhook';
const LABELS = {
  'app.kubernetes.io/name': 'noost',
  'app.kubernetes.io/component': 'webhook',
  'app.kubernetes.io/managed-by': 'noost',
};

/** The two configurations of one name, as the API server has them: followed by every replica. */
export class WebhookConfigurations implements AsyncDisposable {
  readonly name: string;
  readonly #lists: Readonly<Record<ConfigurationKind, ListWatch<WebhookConfiguration>>>;

  constructor({
    client,
    name,
    log,
    onChange,
  }: {
    readonly client: KubeClient;
    readonly name: string;
    readonly log: KubeLog;
    readonly onChange: () => void;
  }) {
    this.name = name;
    const follow = (type: ResourceType): ListWatch<WebhookConfiguration> =>
      new ListWatch<WebhookConfiguration>({
        client,
        type,
        fieldSelector: `metadata.name=${name}`,
        onChange,
        onSynced: onChange,
        maxSilenceMs: 30_000,
        maxBackoffMs: 3000,
        maxItems: 1,
        log,
      });
    this.#lists = {mutating: follow(MUTATING_WEBHOOKS), validating: follow(VALIDATING_WEBHOOKS)};
  }

  start(): void {
    for (const list of Object.values(this.#lists)) list.start();
  }

  get synced(): boolean {
    return Object.values(this.#lists).every(({synced}) => synced);
  }

  get failure(): Error | undefined {
    return this.#lists.mutating.failure ?? this.#lists.validating.failure;
  }

  get(kind: ConfigurationKind): WebhookConfiguration | undefined {
    return this.#lists[kind].get(this.name);
  }

  /** Whether the API server is told to call us, for both kinds of review. */
  get inPlace(): boolean {
    return [this.get('mutating'), this.get('validating')].every((one) => (one?.webhooks?.length ?? 0) > 0);
  }

  /** What each entry tells the API server to trust; `undefined` if it is told to call none of them. */
  get trusted(): readonly (readonly X509Certificate[])[] | undefined {
    const entries = [this.get('mutating'), this.get('validating')].flatMap((one) => one?.webhooks ?? []);
    return entries.length === 0 ? undefined : bundlesOf(entries);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(Object.values(this.#lists).map((list) => list.stop()));
  }
}

function bundlesOf(entries: readonly WebhookEntry[]): readonly (readonly X509Certificate[])[] {
  const texts = new Set(entries.map(({clientConfig}) => clientConfig.caBundle));
  return [...texts].map((text) => {
    try {
      return readCertificates(Buffer.from(text, 'base64').toString('utf8'));
    } catch {
      return []; // somebody wrote nonsense there, which trusts nobody
    }
  });
}

/** What the API server made of entries that were put there as they are: a newer one may fill in fields that we do not know. */
export interface Accepted {
  readonly entries: readonly WebhookEntry[];
  readonly webhooks: readonly WebhookEntry[];
}

/** How far a configuration is from what it should be: fields of ours only, others may label and annotate it. */
export function isAsWanted(
  found: WebhookConfiguration | undefined,
  entries: readonly WebhookEntry[],
  owner: OwnerReference | undefined,
  accepted?: Accepted,
): boolean {
  if (!found) return false;
  const {labels = {}, ownerReferences = []} = found.metadata;
  const wanted = accepted && isDeepStrictEqual(accepted.entries, entries) ? accepted.webhooks : entries;
  return (
    isDeepStrictEqual(sorted(found.webhooks ?? []), sorted(wanted)) &&
    Object.entries(LABELS).every(([key, value]) => labels[key] === value) &&
    (owner === undefined || ownerReferences.some(({uid}) => uid === owner.uid))
  );
}

function sorted(entries: readonly WebhookEntry[]): WebhookEntry[] {
  return entries.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * Makes a configuration what it should be: by server-side apply, so that labels and annotations of others stay; and where
 * that leaves something that others put into the entries (a match condition, one more entry), by replacing the whole list.
 * @returns what is there then.
 */
export async function writeConfiguration(
  client: KubeClient,
  {
    kind,
    name,
    entries,
    owner,
    signal,
  }: {
    readonly kind: ConfigurationKind;
    readonly name: string;
    readonly entries: readonly WebhookEntry[];
    readonly owner: OwnerReference | undefined;
    readonly signal: AbortSignal;
  },
): Promise<Accepted> {
  const type = CONFIGURATIONS[kind];
  const metadata = {name, labels: LABELS, ...(owner && {ownerReferences: [owner]})};
  const apply = {metadata, webhooks: entries};
  const ask = {signal, deadlineMs: 5000};
  let found: WebhookConfiguration;
  try {
    found = await client.patch<WebhookConfiguration>(
      type,
      {name},
      {apply, fieldManager: FIELD_MANAGER, force: true},
      ask,
    );
  } catch (error) {
    // What others put into the entries may not go together with ours: then the whole list is replaced at once.
    if (!(error instanceof KubeError) || error.reason !== 'Invalid') throw error;
    const before = await client.find<WebhookConfiguration>(type, {name}, ask);
    if (!before) throw error;
    found = before;
  }
  if (isAsWanted(found, entries, owner)) return {entries, webhooks: entries};
  const {webhooks = []} = await client.replace<WebhookConfiguration>(
    type,
    {name},
    {...found, webhooks: entries},
    {
      ...ask,
      fieldManager: FIELD_MANAGER,
    },
  );
  return {entries, webhooks};
}
