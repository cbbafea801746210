import {randomBytes} from 'node:crypto';
import {once} from 'node:events';
import {createServer} from 'node:http';
import {connect} from 'node:net';
import {UpstreamError} from '../oci/error.ts';
import type {Upstream} from '../oci/source.ts';
import {Upstreams} from '../oci/upstream-client.ts';
import {policyFor} from '../oci/upstream-policy.ts';
import {listen, type Listening} from '../proc/listen.ts';
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
 * of it. Who finds the port finds nothing there: the repository's name is a secret.
 * @param stop ends it after the pull that is under way. @throws {Error} of the system.
 */
export async function rehearse({store, sender}: RehearsalParts, pulls: number, stop: AbortSignal): Promise<void> {
  if (pulls === 0 || stop.aborted || !(await hasRoom(store))) return;
  const repository = randomBytes(16).toString('hex');
  await using registry = await open(newBlobs(repository));
  await using agent = await newAgent({store, sender}, repository, registry.port);
  for (let pull = 0; pull < pulls && !stop.aborted; pull++) await pullFrom(agent.port, repository);
}

async function hasRoom(store: DiskStore): Promise<boolean> {
  const {capacityBytes, sizeBytes, reservedBytes} = await store.usage();
  return capacityBytes - sizeBytes - reservedBytes >= ROOM_BYTES;
}

type Place = {readonly port: number} & AsyncDisposable;

async function open(server: Parameters<typeof listen>[0]): Promise<Place> {
  const listening: Listening = await listen(server, LOOPBACK);
  return {port: listening.port, [Symbol.asyncDispose]: async () => await listening.drain(0)};
}

/** A registry with every blob, all of the same bytes. */
function newBlobs(repository: string): ReturnType<typeof createServer> {
  const body = Buffer.alloc(BLOB_BYTES);
  return createServer((req, res) => {
    const isAsked = req.url?.startsWith(`/v2/${repository}/blobs/`) === true;
    res.writeHead(isAsked ? 200 : 404, {'content-length': isAsked ? body.length : 0}).end(isAsked ? body : '');
  });
}

async function newAgent({store, sender}: RehearsalParts, repository: string, port: number): Promise<Place> {
  const upstreams = newUpstreams(port);
  const upstreamOf = (name: {readonly registry: string; readonly repository: string}): Upstream => {
    if (name.repository === repository && name.registry === REGISTRY) return upstreams.for(name);
    throw new UpstreamError('refused', REGISTRY, 'Not of the rehearsal');
  };
  const context = {store, upstream: upstreamOf, policy: policyFor.bind(undefined, []), now: Date.now};
  const puller = new Puller(
    {...context, events: {integrity: nothing, storeFailed: nothing}},
    {received: nothing, resumed: nothing, failed: nothing, notKept: nothing},
  );
  const door = runtimeDoor([], true);
  const parts = {puller, sender, repeats: new Repeats(), log: SILENT, metrics: UNCOUNTED, hop: ''};
  const place = await open(newServer(newRegistry({...parts, defaultRegistry: nothing}, () => door)));
  return {
    port: place.port,
    [Symbol.asyncDispose]: async () => {
      await place[Symbol.asyncDispose]();
      await puller.close();
      await upstreams.close();
    },
  };
}

function newUpstreams(port: number): Upstreams {
  const url = `http://127.0.0.1:${port}`;
  const settings = {host: REGISTRY, url, mirrors: [], credentials: undefined, tls: undefined, maxConnections: 1};
  const nobody = {ownAddresses: [], hop: '', userAgent: 'noost', events: {}, env: {}};
  return new Upstreams({...nobody, upstreams: [settings], allowPrivate: false});
}

/** Resolves when the answer is over, however. */
async function pullFrom(port: number, repository: string): Promise<void> {
  const digest = `sha256:${randomBytes(32).toString('hex')}`;
  const socket = connect(port, LOOPBACK.host);
  socket.setTimeout(PULL_MS, () => socket.destroy());
  socket.on('error', nothing); // it is broken off before its last byte: the digest is another
  socket.resume();
  const head = `GET /v2/${repository}/blobs/${digest}?ns=${REGISTRY} HTTP/1.1`;
  socket.write(`${head}\r\nhost: ${REGISTRY}\r\nconnection: close\r\n\r\n`);
  await once(socket, 'close');
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
