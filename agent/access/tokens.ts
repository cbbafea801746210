import {randomBytes, randomUUID} from 'node:crypto';
import {open, readFile, rename, rm} from 'node:fs/promises';
import {dirname} from 'node:path';
import {jwtVerify, SignJWT} from 'jose';
import {LRUCache} from 'lru-cache';
import {syncFolder} from '../store/durable.ts';
import type {Grant} from './scope.ts';

/** Who holds a token and what for. */
export interface TokenClaims {
  /** `undefined`: nobody in particular. */
  readonly user: string | undefined;
  /** The user's line in the file when it was issued, as `Passwords.generation` tells it. */
  readonly generation: string | undefined;
  readonly grants: readonly Grant[];
}

export interface IssuedToken {
  readonly token: string;
  readonly expiresInSeconds: number;
  readonly issuedAt: Date;
}

/** Docker's default, and long enough for any client: they ask again. */
const LIFE_SECONDS = 300;
const ISSUER = 'noost';
/** HMAC with a key of ours alone, whatever a token says of itself (D-103): `alg: none`, a `jwk`, `jku` or `kid` change nothing. */
const ALGORITHM = 'HS256';
const KEY_BYTES = 32;
/** A token of 32 scopes with the longest names. */
const MAX_TOKEN = 16 << 10;
const MAX_KNOWN = 4_096;

/** Issues and reads the direct door's own short-lived tokens. */
export class Tokens {
  readonly #key: Uint8Array;
  readonly #service: () => string;
  /** Tokens whose signature was found right → claims: one push sends the same token a hundred times. */
  readonly #known: LRUCache<string, {readonly claims: TokenClaims; readonly service: string}>;

  /** @param service what tokens are for; those for another are refused. */
  constructor(key: Uint8Array, service: () => string) {
    this.#key = key;
    this.#service = service;
    this.#known = new LRUCache({max: MAX_KNOWN});
  }

  get service(): string {
    return this.#service();
  }

  async issue({user, generation, grants}: TokenClaims): Promise<IssuedToken> {
    const issuedAt = new Date();
    const token = new SignJWT({access: grants, ...(generation === undefined ? {} : {gen: generation})})
      .setProtectedHeader({alg: ALGORITHM, typ: 'JWT'})
      .setIssuer(ISSUER)
      .setAudience(this.#service())
      .setJti(randomUUID())
      .setIssuedAt(issuedAt)
      .setNotBefore(issuedAt)
      .setExpirationTime(new Date(issuedAt.getTime() + LIFE_SECONDS * 1000));
    if (user !== undefined) token.setSubject(user);
    return {token: await token.sign(this.#key), expiresInSeconds: LIFE_SECONDS, issuedAt};
  }

  /** `undefined` for anything but a token of ours that is still good. */
  async read(token: string): Promise<TokenClaims | undefined> {
    if (token.length > MAX_TOKEN) return undefined;
    const service = this.#service();
    const known = this.#known.get(token);
    if (known !== undefined) return known.service === service ? known.claims : undefined;
    try {
      const {payload} = await jwtVerify(token, this.#key, {
        algorithms: [ALGORITHM],
        issuer: ISSUER,
        audience: service,
        requiredClaims: ['exp', 'nbf', 'access'],
        clockTolerance: 5,
      });
      const {sub, gen, access} = payload as {sub?: string; gen?: string; access: readonly Grant[]}; // signed by us
      const claims = {user: sub, generation: gen, grants: access};
      const leftMs = (payload.exp ?? 0) * 1000 - Date.now();
      if (leftMs > 0) this.#known.set(token, {claims, service}, {ttl: leftMs});
      return claims;
    } catch {
      return undefined; // malformed, expired, or somebody else's: all the same to who sent it
    }
  }
}

/**
 * The key that tokens are signed with: made once, so that they outlive a restart. Whoever reads it can be anybody; remove the
 * file to make every token void.
 * @throws {Error} of `node:fs`, or if the file is not a key.
 */
export async function readTokenKey(file: string): Promise<Uint8Array> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (text === undefined) return makeTokenKey(file);
  if (/^[0-9a-f]{64}\n$/.test(text)) return Buffer.from(text.trim(), 'hex');
  throw Object.assign(new Error(`${file} is not a token key: remove it, and a new one is made`), {code: 'EBADKEY'});
}

/** Whole or not at all, whenever we are killed. */
async function makeTokenKey(file: string): Promise<Uint8Array> {
  const key = randomBytes(KEY_BYTES);
  const temporary = `${file}.new`;
  await rm(temporary, {force: true});
  const made = await open(temporary, 'wx', 0o600);
  try {
    await made.writeFile(`${key.toString('hex')}\n`);
    await made.sync();
  } finally {
    await made.close();
  }
  await rename(temporary, file);
  await syncFolder(dirname(file));
  return key;
}
