import {randomBytes} from 'node:crypto';
import {createServer, type RequestListener, type Server} from 'node:http';
import {connect} from 'node:net';
import {UpstreamError} from '../oci/error.ts';
import type {RepositoryName, Upstream} from '../oci/source.ts';
import {Upstreams} from '../oci/upstream-client.ts';
import {policyFor} from '../oci/upstream-policy.ts';
import {listen} from '../proc/listen.ts';
import type {Log} from '../proc/log.ts';
import {runtimeDoor} from './access/caller.ts';
import type {RequestMetrics} from './http/asked.ts';
import {newRegistry} from './http/registry.ts';
import {Repeats} from './http/repeats.ts';
import type {Sender} from './http/send.ts';
import {newServer} from './http/server.ts';
import {Puller} from './pull/puller.ts';
import type {DiskStore} from './store/disk-store.ts';

/** More than one chunk of a socket, and little for a disk. */
const BLOB_BYTES = 100_000;
/** A disk or machine that takes longer has other troubles than a late first byte. */
const PULL_MS = 1_000;
/** Nothing is dropped from the cache to make room for a rehearsal. */
const ROOM_BYTES = 64 << 20;
const LOOPBACK = {host: '127.0.0.1', port: 0};
/** No registry that there is (RFC 6761 §6.4). */
const REGISTRY = 'rehearsal.invalid';

/** What of the agent is rehearsed with. */
export interface RehearsalParts {
  readonly store: DiskStore;
  readonly sender: Sender;
}

/**
 * Pulls blobs that nobody has through an agent of its own, from a registry of its own, both on loopback. V8 compiles a
 * function when it is first called, and makes it fast when it has been called some times: the first blob of a process began
 * 40 ms later than the tenth (docs/performance.md).
 *
 * None of it is left: the bytes are not what their digests say, so no blob is ever whole, and neither log nor metrics know
 * of it.
 * @param stop ends it after the pull that is under way. @returns bytes received. @throws {Error} of the system.
 */
export async function rehearse(parts: RehearsalParts, pulls: number, stop: AbortSignal): Promise<number> {
  if (stop.aborted || !(await hasRoom(parts.store))) return 0;
  await using stage = await openStage(parts);
  let bytes = 0;
  for (let pull = 0; pull < pulls && !stop.aborted; pull++) bytes += await pullFrom(stage);
  return bytes;
}

/** An agent on loopback that knows one registry with one repository, whose name is a secret. */
export interface Stage extends AsyncDisposable {
  readonly port: number;
  readonly repository: string;
}

/** Whoever finds its port can have nothing by it. @throws {Error} of the system. */
export async function openStage(parts: RehearsalParts): Promise<Stage> {
  const repository = randomBytes(16).toString('hex');
  await using opened = new AsyncDisposableStack();
  const registry = await listen(newBlobs(repository), LOOPBACK);
  opened.defer(() => registry.drain(0));
  const upstreams = newUpstreams(registry.port);
  opened.defer(() => upstreams.close());
  const puller = newPuller(parts.store, upstreams, repository);
  opened.defer(() => puller.close());
  const agent = await listen(newServer(answersOf(puller, parts.sender)), LOOPBACK);
  opened.defer(() => agent.drain(0));
  const all = opened.move();
  return {port: agent.port, repository, [Symbol.asyncDispose]: () => all.disposeAsync()};
}

async function hasRoom(store: DiskStore): Promise<boolean> {
  const {capacityBytes, sizeBytes, reservedBytes} = await store.usage();
  return capacityBytes - sizeBytes - reservedBytes >= ROOM_BYTES;
}

/** A registry with every blob, all of the same bytes. */
function newBlobs(repository: string): Server {
  const body = Buffer.alloc(BLOB_BYTES);
  return createServer((req, res) => {
    const isAsked = req.url?.startsWith(`/v2/${repository}/blobs/`) === true;
    res.writeHead(isAsked ? 200 : 404, {'content-length': isAsked ? body.length : 0}).end(isAsked ? body : '');
  });
}

function newPuller(store: DiskStore, upstreams: Upstreams, repository: string): Puller {
  const upstream = (name: RepositoryName): Upstream => {
    if (name.repository === repository && name.registry === REGISTRY) return upstreams.for(name);
    throw new UpstreamError('refused', REGISTRY, 'Not of the rehearsal');
  };
  return new Puller(
    {
      store,
      upstream,
      policy: (name) => policyFor([], name),
      now: Date.now,
      events: {integrity: nothing, storeFailed: nothing},
    },
    {received: nothing, resumed: nothing, failed: nothing, notKept: nothing},
  );
}

function answersOf(puller: Puller, sender: Sender): RequestListener {
  const door = runtimeDoor([], true);
  const untold = {log: SILENT, metrics: UNCOUNTED, hop: '', defaultRegistry: nothing};
  return newRegistry({...untold, puller, sender, repeats: new Repeats()}, () => door);
}

function newUpstreams(port: number): Upstreams {
  const url = `http://127.0.0.1:${port}`;
  const settings = {host: REGISTRY, url, mirrors: [], credentials: undefined, tls: undefined, maxConnections: 1};
  const nobody = {ownAddresses: [], hop: '', userAgent: 'noost', events: {}, env: {}};
  return new Upstreams({...nobody, upstreams: [settings], allowPrivate: false});
}

/** Resolves when the answer is over, however. @returns its bytes. */
async function pullFrom({port, repository}: Stage): Promise<number> {
  const digest = `sha256:${randomBytes(32).toString('hex')}`;
  const socket = connect(port, LOOPBACK.host);
  socket.setTimeout(PULL_MS, () => socket.destroy());
  socket.on('error', nothing); // it is broken off before its last byte: the digest is another
  socket.resume();
  const head = `GET /v2/${repository}/blobs/${digest}?ns=${REGISTRY} HTTP/1.1`;
  socket.write(`${head}\r\nhost: ${REGISTRY}\r\nconnection: close\r\n\r\n`);
  const closed = Promise.withResolvers<void>();
  socket.once('close', () => closed.resolve());
  await closed.promise;
  return socket.bytesRead;
}

function nothing(): undefined {
  // neither log nor metrics are told
}
const SILENT: Log = {debug: nothing, info: nothing, warn: nothing, error: nothing, access: nothing, audit: nothing};
const uncounted = {inc: nothing};
const UNCOUNTED: RequestMetrics = {
  answered: nothing,
  sentBytes: nothing,
  clientAborts: uncounted,
  stale: uncounted,
  bypasses: uncounted,
  withoutCredentials: uncounted,
};
