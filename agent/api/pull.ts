import type {ServerResponse} from 'node:http';
import type {ImageReference} from '../../oci/reference.ts';
import type {Log} from '../../proc/log.ts';
import type {ApiBackend, Pulled, PullEvent} from './backend.ts';
import {toApiError} from './error.ts';

/** A line of the answer to a pull: the last one is `done` or `error`; without it the answer is not whole. */
export type PullLine =
  | PullEvent
  | ({readonly event: 'done'} & Pulled)
  | {readonly event: 'error'; readonly status: number; readonly message: string};

interface Question {
  readonly image: ImageReference;
  readonly platforms: readonly string[] | 'all';
}

interface Answer {
  readonly res: ServerResponse;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/**
 * Pulls and tells about it, a JSON object a line. Status and headers wait for the first event, so that a pull that
 * cannot begin has its own status.
 */
export async function answerPull(
  backend: ApiBackend,
  {image, platforms}: Question,
  {res, signal, log}: Answer,
): Promise<void> {
  const write = (line: PullLine): void => {
    if (!res.headersSent) res.writeHead(200, {'content-type': 'application/x-ndjson'});
    // A slow reader costs no memory: progress is told again soon, and the number of other lines is the image's.
    if (line.event === 'progress' && res.writableNeedDrain) return;
    res.write(`${JSON.stringify(line)}\n`);
  };
  const {name, tag, digest} = image;
  try {
    const pulled = await backend.pull({name, reference: digest ?? tag ?? 'latest', platforms}, write, signal);
    write({event: 'done', ...pulled});
    res.end();
  } catch (error) {
    if (!res.headersSent) throw error;
    const known = toApiError(error);
    if (known.status === 500 && !signal.aborted) log.error('a pull of the command line failed', {cause: known.cause});
    write({event: 'error', status: known.status, message: known.message});
    res.end();
  }
}
