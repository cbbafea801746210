import type {Digest} from '../../oci/digest.ts';
import {UpstreamError} from '../../oci/error.ts';
import type {AskOptions, BlobAnswer, RepositoryName, Source} from '../../oci/source.ts';

/** How a blob is to be had for a repository: where, and with whose rights. */
export interface BlobPlan {
  readonly name: RepositoryName;
  readonly digest: Digest;
  /** In the order to try. */
  readonly sources: readonly Source[];
  readonly ask: Omit<AskOptions, 'signal'>;
  /** Whose bytes they are until they are whole, if not anyone's. */
  readonly owner: string | undefined;
}

export interface Opened {
  readonly answer: BlobAnswer;
  readonly source: Source;
}

/**
 * Opens the first source that answers. One that cannot do ranges is asked for all, after the others.
 * @throws {UpstreamError} the last one's: the registry's own mostly, which is what a user should read; or the signal's
 *   reason.
 */
export async function openFirst(plan: BlobPlan, offset: number, signal: AbortSignal): Promise<Opened> {
  const rangeless: Source[] = [];
  let failure: unknown = new UpstreamError('down', plan.name.registry, 'No source to ask');
  const attempt = async (source: Source, from: number): Promise<Opened | undefined> => {
    try {
      return {answer: await source.open(plan.digest, from, {...plan.ask, signal}), source};
    } catch (error) {
      signal.throwIfAborted();
      failure = error;
      if (from > 0 && error instanceof UpstreamError && error.failure === 'protocol') rangeless.push(source);
      return undefined;
    }
  };
  for (const source of plan.sources) {
    const opened = await attempt(source, offset);
    if (opened !== undefined) return opened;
  }
  for (const source of rangeless) {
    const opened = await attempt(source, 0);
    if (opened !== undefined) return opened;
  }
  throw failure;
}
