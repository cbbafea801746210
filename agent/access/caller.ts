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
  readonly may: (action: Action, repository: string) => boolean;
  /** Whether it might pull from there with another token of its own. */
  readonly couldPull?: (repository: string) => boolean;
}

/** What can be done with a hosted repository. None includes another. */
export type Action = 'pull' | 'push' | 'delete';

/** A mount that the caller's token is not for, though its user may: it should come back with one for this, too. */
export class NarrowTokenError extends Error {
  override readonly name = 'NarrowTokenError';
  readonly repository: string;
  constructor(repository: string) {
    super('The token is not for the repository that the blob is in');
    this.repository = repository;
  }
}

/** Where the node's runtime puts its secret: a header of its own, for `Authorization` is the runtime's (B-010). */
export const SECRET_HEADER = 'noost-node-secret';

/** A secret that proves a caller to be the node's runtime. */
export interface Secret {
  readonly text: string;
  /** Until when it counts, for one that was replaced. `undefined`: as long as the door is open. */
  readonly untilMs?: number;
}

export interface RuntimeDoor {
  readonly door: 'runtime';
  /** SHA-256 of each secret: compared in constant time whatever the lengths. */
  readonly secrets: readonly {readonly hash: Buffer; readonly untilMs: number}[];
  readonly anyLocalProcess: boolean;
}

export function runtimeDoor(secrets: readonly Secret[], anyLocalProcess: boolean): RuntimeDoor {
  const hashed = secrets.map(({text, untilMs}) => ({hash: sha256(text), untilMs: untilMs ?? Infinity}));
  return {door: 'runtime', secrets: hashed, anyLocalProcess};
}

/** The runtime door is for pulls only, whoever asks. */
const pulls = (action: Action): boolean => action === 'pull';
const PROVEN: Caller = {door: 'runtime', authority: 'node', allowPrivate: true, identity: undefined, may: pulls};
const BELIEVED: Caller = {...PROVEN, allowPrivate: false};
const ANYONE: Caller = {...BELIEVED, authority: 'anonymous', may: () => false};

/**
 * A wrong secret is no error: the caller gets what anyone gets.
 * @param fromPath the secret that the request's path held, of a runtime that can send no header.
 */
export function callerAt(door: RuntimeDoor, headers: IncomingHttpHeaders, fromPath: string | undefined): Caller {
  if (isSecret(door, headers[SECRET_HEADER]) || isSecret(door, fromPath)) return PROVEN;
  return door.anyLocalProcess ? BELIEVED : ANYONE;
}

function isSecret({secrets}: RuntimeDoor, said: string | string[] | undefined): boolean {
  if (secrets.length === 0 || typeof said !== 'string') return false;
  const hash = sha256(said);
  return secrets.filter((secret) => timingSafeEqual(secret.hash, hash) && Date.now() < secret.untilMs).length > 0;
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
