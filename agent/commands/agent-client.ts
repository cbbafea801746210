import {once} from 'node:events';
import {request, type IncomingMessage} from 'node:http';
import {join, resolve} from 'node:path';
import process from 'node:process';
import {CommandError, EXIT, type Arguments, type ExitCode, type Flag} from '../../proc/command.ts';
import {SOCKET_NAME} from '../api/socket.ts';

/** Of every command that talks to the agent. */
export const CLIENT_FLAGS: readonly Flag[] = [
  {
    name: 'data',
    kind: 'text',
    description: "The agent's data folder, with its socket (NOOST_DATA)",
    shownDefault: './data',
    group: 'Agent',
  },
  {
    name: 'config',
    kind: 'text',
    short: 'c',
    description: "The agent's configuration file, which may name that folder (NOOST_CONFIG)",
    group: 'Agent',
  },
  {name: 'json', kind: 'boolean', description: 'Prints JSON', group: 'Output'},
];

/** A question to the running agent. */
export interface Ask {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** After `/api/v1/`, encoded. */
  readonly path: string;
  readonly body?: object;
  readonly signal?: AbortSignal;
  /** How long a JSON answer may take. @default 120,000 */
  readonly timeoutMs?: number;
}

/** What any answer may have; a page of 1,000 images has half a megabyte. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** An upstream that hangs is given up by the agent well before. */
const ANSWER_MS = 120_000;

/** The running agent, seen through the socket in its data folder. */
export class AgentClient {
  readonly #socket: string;
  constructor(socket: string) {
    this.#socket = socket;
  }

  /** A JSON answer. @throws {CommandError} */
  async ask<T>(ask: Ask): Promise<T> {
    const answer = await this.open({
      ...ask,
      signal: AbortSignal.any([
        AbortSignal.timeout(ask.timeoutMs ?? ANSWER_MS),
        ...(ask.signal === undefined ? [] : [ask.signal]),
      ]),
    });
    try {
      return JSON.parse(await readText(answer)) as T; // our own program at the other end
    } catch (error) {
      throw new CommandError(EXIT.failed, `The agent's answer broke off (${this.#socket})`, {cause: error});
    }
  }

  /** The beginning of an answer, for one that comes in lines. @throws {CommandError} */
  async open({method, path, body, signal}: Ask): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body);
    const req = request({
      socketPath: this.#socket,
      method,
      path: `/api/v1/${path}`,
      agent: false,
      ...(signal === undefined ? {} : {signal}),
      ...(text === undefined
        ? {}
        : {headers: {'content-type': 'application/json', 'content-length': Buffer.byteLength(text)}}),
    });
    req.end(text);
    let answer: IncomingMessage;
    try {
      [answer] = (await once(req, 'response')) as [IncomingMessage]; // the event's own argument
    } catch (error) {
      throw this.#unreachable(error);
    }
    req.on('error', () => undefined); // from here on the answer says what is wrong
    if (answer.statusCode === 200) return answer;
    throw await toCommandError(answer);
  }

  #unreachable(error: unknown): CommandError {
    const {code = '', name} = error as NodeJS.ErrnoException;
    if (name === 'TimeoutError')
      return new CommandError(EXIT.failed, `The agent at ${this.#socket} did not answer in time`, {cause: error});
    if (name === 'AbortError') return new CommandError(EXIT.interrupted, 'Stopped', {cause: error});
    if (code === 'EACCES') {
      return new CommandError(
        EXIT.noAgent,
        `The socket ${this.#socket} may only be opened by the agent's own user: try again as that user`,
        {cause: error},
      );
    }
    const advice =
      'Start one with: noost agent\nOr say where its data is: --data DIR, NOOST_DATA or --config FILE, as for the agent itself';
    return new CommandError(EXIT.noAgent, `No agent answers at ${this.#socket} (${code || name})\n${advice}`, {
      cause: error,
    });
  }
}

async function toCommandError(answer: IncomingMessage): Promise<CommandError> {
  const text = await readText(answer).catch(() => '');
  let message = `The agent answered ${String(answer.statusCode)}`;
  try {
    message = (JSON.parse(text) as {error: {message: string}}).error.message; // our own program at the other end
  } catch {
    // Not our agent, or it broke off: the status has to do.
  }
  return new CommandError(exitCodeOf(answer.statusCode ?? 0), message);
}

/** Which exit code a status of the API is. */
export function exitCodeOf(status: number): ExitCode {
  if (status === 404) return EXIT.notFound;
  return status === 400 ? EXIT.usage : EXIT.failed;
}

async function readText(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_ANSWER_BYTES) throw new RangeError('The answer is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * The agent that `--data`, NOOST_DATA or the configuration file's `data` names, as the agent itself reads them.
 * @throws {CommandError} if there is a configuration file and it cannot be read.
 */
export async function openAgent({flags}: Arguments): Promise<AgentClient> {
  const said =
    flags['data'] ??
    (process.env['NOOST_DATA'] || undefined) ??
    (await dataOfFile(flags['config'] ?? process.env['NOOST_CONFIG']));
  return new AgentClient(join(resolve(typeof said === 'string' ? said : './data'), SOCKET_NAME));
}

async function dataOfFile(path: unknown): Promise<string | undefined> {
  if (typeof path !== 'string' || path === '') return undefined;
  const [{readConfigFile}, {valueAt}, {ConfigError}] = await Promise.all([
    import('../../proc/config/file.ts'),
    import('../../proc/config/layer.ts'),
    import('../../proc/config/error.ts'),
  ]);
  try {
    const data = valueAt((await readConfigFile(path)).tree, ['data']);
    return typeof data === 'string' ? data : undefined;
  } catch (error) {
    throw error instanceof ConfigError ? new CommandError(EXIT.failed, error.message, {cause: error}) : error;
  }
}
