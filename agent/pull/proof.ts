import type {Readable} from 'node:stream';
import type {Digest} from '../../oci/digest.ts';
import {UpstreamError} from '../../oci/error.ts';
import {Once} from '../../oci/once.ts';
import type {Authority} from '../../oci/source.ts';
import type {BlobRecord} from '../store/contract.ts';
import {keyOf, type PullContext} from './context.ts';
import type {Denied} from './denied.ts';
import {openFirst, type BlobPlan} from './plan.ts';

const PROOF_MS = 30_000;

/** Brings about links: that a repository shows a blob which we hold already, or which is arriving. */
export class Proofs {
  readonly #context: PullContext;
  readonly #denied: Denied;
  readonly #proving = new Once<void>();

  constructor(context: PullContext, denied: Denied) {
    this.#context = context;
    this.#denied = denied;
  }

  /**
   * Asks the registry for the last byte: its answer says whether this repository shows the blob (P-18: no HEAD).
   * @throws {UpstreamError}
   */
  prove(plan: BlobPlan, record: Omit<BlobRecord, 'digest'>): Promise<void> {
    const key = `${keyOf(plan.name, plan.digest, plan.ask.authority)} ${plan.ask.allowPrivate}`;
    return this.#proving.run(key, () => this.#ask(plan, record));
  }

  /** Writes the link down; a store that cannot is no failure. */
  async link({name, digest}: BlobPlan, authority: Authority, record: Omit<BlobRecord, 'digest'>): Promise<void> {
    const link = {...name, digest, authority, ...record, provenAt: this.#context.now()};
    await this.#context.store.addLink(link).catch((error: unknown) => {
      this.#context.events.storeFailed('link', error);
    });
  }

  /** @throws {UpstreamError} that the upstream lately refused this repository to this authority. */
  checkDenied({name, digest, ask}: BlobPlan): void {
    this.#denied.check(name, blobKey(digest), ask.authority);
  }

  async #ask(plan: BlobPlan, {sizeBytes, kind, mediaType}: Omit<BlobRecord, 'digest'>): Promise<void> {
    this.checkDenied(plan);
    const {answer} = await openFirst(plan, Math.max(0, sizeBytes - 1), AbortSignal.timeout(PROOF_MS));
    discardAfter(answer.body, 1);
    const {registry} = plan.name;
    if (answer.sizeBytes !== undefined && answer.sizeBytes !== sizeBytes)
      throw new UpstreamError('protocol', registry, `${registry} shows another size for ${plan.digest}`);
    await this.link(plan, answer.authority, {sizeBytes, kind, mediaType});
  }
}

/** That there is no manifest of this digest says nothing of a blob: runtimes ask for one, then for the other (B-032). */
function blobKey(digest: Digest): string {
  return `blobs/${digest}`;
}

/** Reads to the end, to keep the connection, unless there is more than was asked for. */
function discardAfter(body: Readable, bytes: number): void {
  let left = bytes;
  body
    .on('error', () => undefined)
    .on('data', (chunk: Uint8Array) => {
      left -= chunk.length;
      if (left < 0) body.destroy();
    });
}
