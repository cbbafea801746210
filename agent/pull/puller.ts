import type {Digest} from '../../oci/digest.ts';
import type {RepositoryName} from '../../oci/source.ts';
import type {OpenBlob} from '../store/contract.ts';
import type {Sums} from '../store/sums.ts';
import {Blobs} from './blobs.ts';
import type {PullContext} from './context.ts';
import {Denied} from './denied.ts';
import type {FlightEvents} from './flight-parts.ts';
import {Manifests} from './manifests.ts';
import {Pages} from './pages.ts';
import {Tags} from './tags.ts';

/** Everything a node can be asked for, behind the caller's authority (design §4). */
export class Puller {
  readonly blobs: Blobs;
  readonly manifests: Manifests;
  readonly tags: Tags;
  readonly pages: Pages;
  readonly #context: PullContext;
  readonly #denied: Denied;
  #labels = new WeakMap<RepositoryName, string>();

  constructor(context: PullContext, flightEvents: FlightEvents) {
    this.#context = context;
    this.#denied = new Denied(context.monotonic ?? (() => performance.now()));
    this.blobs = new Blobs(context, this.#denied, flightEvents);
    this.manifests = new Manifests(context, this.#denied);
    this.tags = new Tags(context, this.#denied, this.manifests);
    this.pages = new Pages(context, this.#denied);
  }

  /** The upstream as metrics name it. Kept by the parsed name, which the listener keeps for requests that repeat. */
  label(name: RepositoryName): string {
    const known = this.#labels.get(name);
    if (known !== undefined) return known;
    const {label} = this.#context.upstream(name);
    this.#labels.set(name, label);
    return label;
  }

  /** Counts a use, for eviction. */
  touch(digest: Digest): void {
    this.#context.store.touch(digest);
  }

  /** Hashes a stored blob again; counts it if it is wrong. @returns the sums of its blocks, if it is right. */
  async verify(blob: OpenBlob, name: RepositoryName): Promise<Sums | undefined> {
    const sums = await this.#context.store.verify(blob);
    if (sums === undefined) this.#context.events.integrity(this.label(name));
    return sums;
  }

  /** After a reload: what upstreams refused may be granted now. */
  reloaded(): void {
    this.#labels = new WeakMap();
    this.#denied.forget();
  }

  close(): Promise<void> {
    return this.blobs.close();
  }
}
