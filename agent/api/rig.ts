import {once} from 'node:events';
import {mkdtemp, rm} from 'node:fs/promises';
import {createServer, request, type IncomingMessage} from 'node:http';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {Digest} from '../../oci/digest.ts';
import {OciError} from '../../oci/error.ts';
import {listen, type Listening} from '../../proc/listen.ts';
import type {Log} from '../../proc/log.ts';
import type {ImageRecord, Link, TagRecord} from '../store/contract.ts';
import {newApi} from './api.ts';
import {SOCKET_NAME} from './socket.ts';
import type {ApiBackend, Pulled} from './backend.ts';
import type {HostedBackend} from './hosted.ts';

export const DIGEST: Digest = `sha256:${'a'.repeat(64)}`;
export const OTHER: Digest = `sha256:${'b'.repeat(64)}`;
const HUB = {registry: 'docker.io', repository: 'library/alpine'};
const LINK: Link = {
  ...HUB,
  digest: DIGEST,
  authority: 'anonymous',
  kind: 'manifest',
  mediaType: 'x',
  sizeBytes: 5,
  provenAt: 1,
};
export const PULLED: Pulled = {
  digest: DIGEST,
  platforms: ['linux/amd64'],
  manifests: 2,
  blobs: 1,
  totalBytes: 10,
  fetchedBytes: 4,
};

export function newImage(reference: string): ImageRecord {
  return {
    ...HUB,
    reference,
    digest: DIGEST,
    mediaType: 'x',
    sizeBytes: 5,
    complete: true,
    usedAt: 1,
    resolvedAt: undefined,
  };
}

/** For tests: what is hosted by `reg.test`, as one tag that was moved once. @param asked is told what is done. */
export function newHosted(asked: string[]): HostedBackend {
  return {
    host: () => 'reg.test',
    images: ({after, limit, match}) => {
      asked.push(`hosted ${after ?? ''} ${String(limit)} ${match ?? ''}`);
      const image = {repository: 'team/app', tag: 'v1', digest: DIGEST, sizeBytes: 2048, movedAt: 1, by: 'alice'};
      return Promise.resolve(match === 'none' ? [] : [image]);
    },
    usage: () =>
      Promise.resolve({repositories: 1, tags: 2, manifests: 3, blobs: 4, sizeBytes: 2048, uploads: 1, uploadBytes: 6}),
    history: (repository, tag) => {
      asked.push(`history ${repository} ${tag}`);
      if (tag !== 'v1') return Promise.resolve([]);
      return Promise.resolve([
        {at: 2, by: 'alice', from: OTHER, to: undefined},
        {at: 1, by: undefined, from: undefined, to: OTHER},
      ]);
    },
    remove: (repository, reference) => {
      asked.push(`remove ${repository} ${reference}`);
      if (reference === 'frozen') return Promise.reject(new OciError('DENIED', 'The tag frozen is immutable here'));
      if (reference === 'v1') return Promise.resolve({tags: ['v1'], manifests: []});
      return Promise.resolve({tags: ['a', 'b'], manifests: [DIGEST]});
    },
    removeUntagged: ({olderThanMs, dryRun}) => {
      asked.push(`untagged ${String(olderThanMs)} ${String(dryRun)}`);
      return Promise.resolve(olderThanMs === 0 ? [] : [{repository: 'team/app', digest: DIGEST}]);
    },
    collect: () => {
      asked.push('collect');
      return Promise.resolve({blobs: 2, uploads: 1, freedBytes: 4096});
    },
  };
}

/** For tests: an API on a socket of its own, over a backend that remembers what it was asked. */
export class ApiRig implements AsyncDisposable {
  readonly asked: string[] = [];
  readonly logged: string[] = [];
  images: ImageRecord[] = [];
  hosted: HostedBackend | undefined;
  refresh: ApiBackend['refresh'] = () => Promise.resolve({before: OTHER, after: DIGEST, mediaType: 'x'});
  pull: ApiBackend['pull'] = () => Promise.resolve(PULLED);
  /** As `--data`. */
  readonly folder: string;
  #listening: Listening | undefined;
  private constructor(folder: string) {
    this.folder = folder;
  }

  static async start(): Promise<ApiRig> {
    const rig = new ApiRig(await mkdtemp(join(tmpdir(), 'noost-')));
    const note = (message: string): void => void rig.logged.push(message);
    const log: Log = {
      debug: note,
      info: note,
      warn: note,
      error: note,
      access: () => undefined,
      audit: () => undefined,
    };
    rig.#listening = await listen(createServer(newApi(rig.#backend(), log)), {path: rig.socket});
    return rig;
  }

  get socket(): string {
    return join(this.folder, SOCKET_NAME);
  }

  #backend(): ApiBackend {
    const known: TagRecord = {
      ...HUB,
      tag: '3',
      authority: 'node',
      digest: DIGEST,
      mediaType: 'x',
      sizeBytes: 5,
      resolvedAt: 1,
    };
    const note = <T>(what: string, answer: T): Promise<T> => {
      this.asked.push(what);
      return Promise.resolve(answer);
    };
    const hosted = (): HostedBackend | undefined => this.hosted;
    return {
      get hosted() {
        return hosted();
      },
      store: {
        images: (options) => note(`images ${JSON.stringify(options)}`, this.images),
        usage: () =>
          note('usage', {
            blobs: 1,
            manifests: 2,
            tags: 3,
            sizeBytes: 4,
            reservedBytes: 5,
            maxBytes: 6,
            capacityBytes: 6,
            diskFreeBytes: 7,
          }),
        tag: (_name, tag, authority) => Promise.resolve(tag === '3' && authority === 'node' ? known : undefined),
        links: (digest) => Promise.resolve(digest === DIGEST ? [LINK] : []),
        removeImage: (name, reference) => note(`remove ${name.registry}/${name.repository} ${reference}`, 42),
      },
      refresh: (name, tag, signal) => {
        this.asked.push(`refresh ${name.registry}/${name.repository} ${tag}`);
        return this.refresh(name, tag, signal);
      },
      pull: (wanted, onEvent, signal) => {
        this.asked.push(
          `pull ${wanted.name.registry}/${wanted.name.repository} ${wanted.reference} ${String(wanted.platforms)}`,
        );
        return this.pull(wanted, onEvent, signal);
      },
    };
  }

  async send(method: string, path: string, body?: unknown): Promise<IncomingMessage> {
    const req = request({socketPath: this.socket, method, path, agent: false});
    req.end(body === undefined || typeof body === 'string' ? body : JSON.stringify(body));
    const [answer] = (await once(req, 'response')) as [IncomingMessage];
    return answer;
  }

  async ask(method: string, path: string, body?: unknown): Promise<{status: number | undefined; text: string}> {
    const answer = await this.send(method, path, body);
    let text = '';
    for await (const chunk of answer) text += String(chunk);
    return {status: answer.statusCode, text};
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listening?.drain(0);
    await rm(this.folder, {recursive: true});
  }
}
