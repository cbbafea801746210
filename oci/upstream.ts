import {BlobSource} from './blob-source.ts';
import type {Digest} from './digest.ts';
import {withDeadline} from './deadline.ts';
import type {Endpoint} from './endpoint.ts';
import {ManifestQuestions} from './manifest-questions.ts';
import {listReferrers, listTags} from './page-questions.ts';
import type {AskOptions, ManifestAnswer, ManifestHead, Page, RepositoryName, Source, Upstream} from './source.ts';

/** All mirrors together get no more than this, and the registry its whole budget after it (P-01). */
const MIRRORS_MS = 5000;

interface Place {
  readonly endpoint: Endpoint;
  readonly manifests: ManifestQuestions;
}

/** A registry behind its mirrors: whatever is wrong with a mirror, the registry is asked. */
export class RegistryUpstream implements Upstream {
  readonly label: string;
  readonly #mirrors: readonly Place[];
  readonly #registry: Place;

  constructor(label: string, mirrors: readonly Endpoint[], registry: Endpoint) {
    this.label = label;
    this.#mirrors = mirrors.map(newPlace);
    this.#registry = newPlace(registry);
  }

  sources(name: RepositoryName): readonly Source[] {
    return [...this.#mirrors, this.#registry].map(({endpoint}) => new BlobSource(endpoint, name));
  }

  headManifest(name: RepositoryName, reference: string, options: AskOptions): Promise<ManifestHead> {
    return this.#first(options, ({manifests}, asked) => manifests.head(name, reference, asked));
  }

  getManifest(name: RepositoryName, reference: string, options: AskOptions): Promise<ManifestAnswer> {
    return this.#first(options, ({manifests}, asked) => manifests.get(name, reference, asked));
  }

  listTags(name: RepositoryName, query: string, options: AskOptions): Promise<Page> {
    return this.#first(options, ({endpoint}, asked) => listTags(endpoint, name, query, asked));
  }

  listReferrers(name: RepositoryName, digest: Digest, query: string, options: AskOptions): Promise<Page> {
    return this.#first(options, ({endpoint}, asked) => listReferrers(endpoint, name, digest, query, asked));
  }

  /** Connections under way finish. */
  async close(): Promise<void> {
    await Promise.all(this.#transports().map((transport) => transport.close()));
  }

  /** Connections are broken off. */
  async destroy(): Promise<void> {
    await Promise.all(this.#transports().map((transport) => transport.destroy()));
  }

  #transports() {
    return [...this.#mirrors, this.#registry].map(({endpoint}) => endpoint.options.transport);
  }

  async #first<T>(options: AskOptions, ask: (place: Place, options: AskOptions) => Promise<T>): Promise<T> {
    const answer = this.#mirrors.length === 0 ? undefined : await this.#ofMirrors(options, ask);
    return answer === undefined ? ask(this.#registry, options) : answer.value;
  }

  /** `undefined` if none has it: a mirror's failure is never the client's. */
  async #ofMirrors<T>(
    options: AskOptions,
    ask: (place: Place, options: AskOptions) => Promise<T>,
  ): Promise<{value: T} | undefined> {
    const attempt = async (signal: AbortSignal): Promise<{value: T} | undefined> => {
      for (const mirror of this.#mirrors) {
        try {
          return {value: await ask(mirror, {...options, signal})};
        } catch {
          if (signal.aborted) return undefined;
        }
      }
      return undefined;
    };
    const found = await withDeadline(MIRRORS_MS, options.signal, attempt);
    options.signal.throwIfAborted();
    return found;
  }
}

function newPlace(endpoint: Endpoint): Place {
  return {endpoint, manifests: new ManifestQuestions(endpoint)};
}
