import {createPrivateKey, X509Certificate, type KeyObject} from 'node:crypto';
import {isIP} from 'node:net';

/** A certificate with its chain, and its key: as they are written, and as they were read. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
  readonly leaf: X509Certificate;
  /** With the leaf, in the order in which they are written. */
  readonly chain: readonly X509Certificate[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

const PEM = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
/** More than a chain or a bundle holds, and little enough to read. */
const MAX_PEM = 256 * 1024;
const MAX_CERTIFICATES = 64;

/** @throws {Error} for what is not one or more certificates in PEM. */
export function readCertificates(pem: string): X509Certificate[] {
  if (pem.length > MAX_PEM) throw new Error('more than 256 KiB');
  const found = pem.match(PEM) ?? [];
  if (found.length === 0) throw new Error('no certificate in PEM');
  if (found.length > MAX_CERTIFICATES) throw new Error(`more than ${MAX_CERTIFICATES} certificates`);
  return found.map((one) => new X509Certificate(one));
}

/** @throws {Error} naming what is wrong; never with a part of the key. */
export function readKeyPair(cert: string, key: string): KeyPair {
  const chain = readCertificates(cert);
  const [leaf] = chain;
  if (!leaf) throw new Error('no certificate in PEM');
  if (!leaf.checkPrivateKey(readKey(key))) throw new Error('the key is not that of the certificate');
  return {cert, key, leaf, chain, notBeforeMs: leaf.validFromDate.getTime(), notAfterMs: leaf.validToDate.getTime()};
}

function readKey(pem: string): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new Error('the key cannot be read'); // OpenSSL's own words are no help
  }
}

/** Whether the certificate is good for all of these host names and IP addresses. */
export function isFor({leaf}: KeyPair, names: readonly string[]): boolean {
  return names.every((name) => (isIP(name) === 0 ? leaf.checkHost(name) : leaf.checkIP(name)) !== undefined);
}

export function isValidAt({notBeforeMs, notAfterMs}: KeyPair, nowMs: number): boolean {
  return notBeforeMs <= nowMs && nowMs < notAfterMs;
}

/** Whether one of the bundle's certificates, or a link of the pair's own chain that one of them made, made the leaf. */
export function isTrusted({chain}: KeyPair, bundle: readonly X509Certificate[]): boolean {
  for (const [at, one] of chain.entries()) {
    if (bundle.some((root) => root.fingerprint256 === one.fingerprint256 || isIssuedBy(one, root))) return true;
    const next = chain[at + 1];
    if (!next || !isIssuedBy(one, next)) return false;
  }
  return false;
}

export function isIssuedBy(one: X509Certificate, by: X509Certificate): boolean {
  return by.ca && one.checkIssued(by) && one.verify(by.publicKey);
}

/** Those of several bundles, each once and without what has expired, as one PEM text. */
export function bundleOf(certificates: readonly X509Certificate[], nowMs: number): string {
  const byPrint = new Map(
    certificates.filter(({validToDate}) => validToDate.getTime() > nowMs).map((one) => [one.fingerprint256, one]),
  );
  return [...byPrint.values()].map((one) => one.toString().trim()).join('\n') + (byPrint.size > 0 ? '\n' : '');
}
