import {timingSafeEqual, createHash} from 'node:crypto';
import type {IncomingHttpHeaders} from 'node:http';
import type {Authority} from '../../oci/source.ts';
import type {Door} from '../config/shape.ts';

/** What a caller may use of upstreams. */
export interface PullRights {
  /** The most a request of this caller may use: `node` only for who proves to be the node's runtime. */
  readonly authority: Authority;
  /** Whether an upstream that is not configured may be at a private address: only behind an authenticated door. */
  readonly allowPrivate: boolean;
}

/** Who asks, from the door to the store (design §3, §8). */
export interface Caller extends PullRights {
  readonly door: Door;
  /** The name it proved to have: for the audit and for upload sessions. `undefined`: nobody in particular. */
  readonly identity: string | undefined;
  /** Whether it may do this with a hosted repository. What is not asked here is not allowed (D-043). */
  may(action: Action, repository: string): boolean;
}

/** What can be done with a hosted repository. None includes another. */
export type Action = 'pull' | 'push' | 'delete';

/** Where the node's runtime puts its secret: a header of its own, for `Authorization` is the runtime's (B-010). */
export const SECRET_HEADER = 'noost-node-secret';

export interface RuntimeDoor {
  readonly door: 'runtime';
  /** SHA-256 of the secret: compared in constant time whatever the lengths. */
  readonly secretHash: Buffer | undefined;
  readonly anyLocalProcess: boolean;
}

export function runtimeDoor(secret: string | undefined, anyLocalProcess: boolean): RuntimeDoor {
  return {door: 'runtime', secretHash: secret === undefined ? undefined : sha256(secret), anyLocalProcess};
}

/** The runtime door is for pulls only, whoever asks. */
const pulls = (action: Action): boolean => action === 'pull';
const PROVEN: Caller = {door: 'runtime', authority: 'node', allowPrivate: true, identity: undefined, may: pulls};
const BELIEVED: Caller = {...PROVEN, allowPrivate: false};
const ANYONE: Caller = {...BELIEVED, authority: 'anonymous', may: () => false};

/** A wrong secret is no error: the caller gets what anyone gets. */
export function callerAt(door: RuntimeDoor, headers: IncomingHttpHeaders): Caller {
  if (isSecret(door, headers[SECRET_HEADER])) return PROVEN;
  return door.anyLocalProcess ? BELIEVED : ANYONE;
}

function isSecret({secretHash}: RuntimeDoor, header: string | string[] | undefined): boolean {
  if (secretHash === undefined || typeof header !== 'string') return false;
  return timingSafeEqual(secretHash, sha256(header));
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
