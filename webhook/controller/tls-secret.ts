import type {X509Certificate} from 'node:crypto';
import type {KubeObject} from '../../kube/object.ts';
import {BACKDATED_MS, newAuthority, newLeaf} from './issue-certificate.ts';
import {isFor, isIssuedBy, isValidAt, readCertificates, readKeyPair, type KeyPair} from './key-pair.ts';

/** As `kubernetes.io/tls`, with the CA's key beside it. */
export interface TlsSecret extends KubeObject {
  readonly type?: string;
  /** Base64. */
  readonly data?: Readonly<Record<string, string>>;
}

/** What a Secret of ours holds, as far as it is whole. */
export interface Certificates {
  readonly authority: KeyPair | undefined;
  readonly leaf: KeyPair | undefined;
  /** CAs whose leaves somebody may still serve. */
  readonly previous: readonly X509Certificate[];
  /** What is wrong, for the log. */
  readonly problems: readonly string[];
}

export interface Wanted {
  readonly names: readonly string[];
  readonly lifetimeMs: number;
  readonly nowMs: number;
  /** Replaces what is merely old; anybody replaces what does not work. */
  readonly isLeader: boolean;
}

const KEYS = {caCert: 'ca.crt', caKey: 'ca.key', cert: 'tls.crt', key: 'tls.key', previous: 'previous-ca.crt'} as const;
/** A CA that is to end sooner is replaced while everybody still trusts it. */
const AUTHORITY_LEFT_MS = 365 * 86_400_000;
/** Every replica serves what the Secret holds within seconds; a CA that is not used any more is trusted for no longer than this. */
const PREVIOUS_MS = 86_400_000;
const MAX_PREVIOUS = 4;
export const NOTHING: Certificates = {authority: undefined, leaf: undefined, previous: [], problems: []};

/** Reads a Secret that anybody may have written. */
export function readTlsSecret({data = {}}: TlsSecret, {names, nowMs}: Pick<Wanted, 'names' | 'nowMs'>): Certificates {
  const problems: string[] = [];
  const text = (key: string): string => Buffer.from(data[key] ?? '', 'base64').toString('utf8');
  const read = <T>(what: string, work: () => T): T | undefined => {
    try {
      return work();
    } catch (error) {
      problems.push(`${what}: ${(error as Error).message}`);
      return undefined;
    }
  };
  const authority = read(KEYS.caCert, () => {
    const pair = readKeyPair(text(KEYS.caCert), text(KEYS.caKey));
    if (!pair.leaf.ca) throw new Error('not the certificate of a CA');
    if (!isValidAt(pair, nowMs)) throw new Error('not valid at this time');
    return pair;
  });
  const leaf = read(KEYS.cert, () => {
    const pair = readKeyPair(text(KEYS.cert), text(KEYS.key));
    if (!authority || !isIssuedBy(pair.leaf, authority.leaf)) throw new Error('not made by the CA');
    if (!isFor(pair, names)) throw new Error(`not for ${names.join(', ')}`);
    if (!isValidAt(pair, nowMs)) throw new Error('not valid at this time');
    return pair;
  });
  const previous = data[KEYS.previous] ? (read(KEYS.previous, () => readCertificates(text(KEYS.previous))) ?? []) : [];
  return {authority, leaf, previous: previous.filter(({ca}) => ca), problems};
}

/**
 * What the Secret should hold instead of `found`.
 * @param found `NOTHING` if there is no Secret: one that was deleted comes back with a new CA, for whose key may be known to
 * others, while the old one is trusted until it is served no more.
 * @param known what it held when it was last whole: one that was damaged comes back as it was.
 * @returns `undefined` if it is as it should be.
 */
export async function nextCertificates(
  found: Certificates,
  known: Certificates,
  wanted: Wanted,
): Promise<Certificates | undefined> {
  const {nowMs, isLeader, names, lifetimeMs} = wanted;
  if (found === NOTHING && known.authority)
    return renewed(await newAuthority(nowMs), [known.authority.leaf, ...known.previous].slice(0, MAX_PREVIOUS), wanted);
  const authority = found.authority ?? usable(known.authority, nowMs);
  if (!authority) return renewed(await newAuthority(nowMs), found.previous, wanted);
  if (isLeader && authority.notAfterMs - nowMs < AUTHORITY_LEFT_MS)
    return renewed(await newAuthority(nowMs), [authority.leaf], wanted);
  const own = [found.leaf, usable(known.leaf, nowMs)].find(
    (one) => one && isIssuedBy(one.leaf, authority.leaf) && isFor(one, names),
  );
  if (!own) return renewed(authority, found.previous, wanted);
  if (isOld(own, wanted))
    return {authority, leaf: await newLeaf(authority, names, {nowMs, lifetimeMs}), previous: [], problems: []};
  if (isLeader && found.previous.length > 0 && nowMs - own.notBeforeMs > BACKDATED_MS + PREVIOUS_MS)
    return {authority, leaf: own, previous: [], problems: []};
  const isWhole = found.authority !== undefined && found.leaf !== undefined && found.problems.length === 0;
  return isWhole ? undefined : {authority, leaf: own, previous: found.previous, problems: []};
}

function usable(pair: KeyPair | undefined, nowMs: number): KeyPair | undefined {
  return pair && isValidAt(pair, nowMs) ? pair : undefined;
}

async function renewed(
  authority: KeyPair,
  previous: readonly X509Certificate[],
  {names, nowMs, lifetimeMs}: Wanted,
): Promise<Certificates> {
  return {authority, leaf: await newLeaf(authority, names, {nowMs, lifetimeMs}), previous, problems: []};
}

/** One third left is for the leader; if nobody leads, others do it when there is little. */
function isOld({notAfterMs}: KeyPair, {nowMs, lifetimeMs, isLeader}: Wanted): boolean {
  return notAfterMs - nowMs < lifetimeMs / (isLeader ? 3 : 10);
}

/** The `data` of a Secret that holds these. */
export function dataOf({authority, leaf, previous}: Certificates): Record<string, string> {
  const all = {
    [KEYS.caCert]: authority?.cert ?? '',
    [KEYS.caKey]: authority?.key ?? '',
    [KEYS.cert]: leaf?.cert ?? '',
    [KEYS.key]: leaf?.key ?? '',
    ...(previous.length > 0 && {[KEYS.previous]: previous.map((one) => one.toString()).join('')}),
  };
  return Object.fromEntries(Object.entries(all).map(([key, text]) => [key, Buffer.from(text).toString('base64')]));
}
