import {createPrivateKey, KeyObject, randomBytes, webcrypto} from 'node:crypto';
import {isIP} from 'node:net';
import type * as X509 from '@peculiar/x509';
import {readKeyPair, type KeyPair} from './key-pair.ts';

const DAY_MS = 86_400_000;
/** Of the CA; the API server is told what to trust by us, so nothing is gained by making it anew more often. */
export const AUTHORITY_MS = 3650 * DAY_MS;
/** Clocks that are slow by up to this find the certificate valid. */
export const BACKDATED_MS = DAY_MS;

const KEYS = {name: 'ECDSA', namedCurve: 'P-256'} as const;
const SIGNATURE = {name: 'ECDSA', hash: 'SHA-256'} as const;

/** A CA of our own, that may sign leaves and nothing else. */
export async function newAuthority(nowMs: number): Promise<KeyPair> {
  const x509 = await load();
  const keys = await newKeys();
  const made = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    // Two that have one name would be taken for each other while both are in the bundle.
    name: `CN=Noost webhook CA ${randomBytes(4).toString('hex')}`,
    notBefore: new Date(nowMs - BACKDATED_MS),
    notAfter: new Date(nowMs + AUTHORITY_MS),
    signingAlgorithm: SIGNATURE,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return readKeyPair(`${made.toString('pem')}\n`, pemOf(keys.privateKey));
}

/** A leaf for a server with these host names and IP addresses, signed by `authority`; it does not outlive it. */
export async function newLeaf(
  authority: KeyPair,
  names: readonly string[],
  {nowMs, lifetimeMs}: {readonly nowMs: number; readonly lifetimeMs: number},
): Promise<KeyPair> {
  const x509 = await load();
  const keys = await newKeys();
  const issuer = new x509.X509Certificate(authority.leaf.raw);
  const signingKey = await signingKeyOf(authority);
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: 'CN=noost-webhook',
    issuer: issuer.subjectName,
    notBefore: new Date(Math.max(nowMs - BACKDATED_MS, authority.notBeforeMs)),
    notAfter: new Date(Math.min(nowMs + lifetimeMs, authority.notAfterMs)),
    signingAlgorithm: SIGNATURE,
    signingKey,
    publicKey: keys.publicKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(names.map((value) => ({type: isIP(value) === 0 ? 'dns' : 'ip', value}))),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return readKeyPair(`${made.toString('pem')}\n`, pemOf(keys.privateKey));
}

async function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(KEYS, true, ['sign', 'verify']);
}

async function signingKeyOf({key}: KeyPair): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(key).export({type: 'pkcs8', format: 'der'});
  return webcrypto.subtle.importKey('pkcs8', der, KEYS, false, ['sign']);
}

function pemOf(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({type: 'pkcs8', format: 'pem'}).toString();
}

/** Positive, and 20 bytes at most. @see https://www.rfc-editor.org/rfc/rfc5280#section-4.1.2.2 */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
}

/**
 * 18 MB that only who makes certificates needs. Its dependency injection insists on the polyfill of an abandoned proposal,
 * of which nothing is used here.
 */
async function load(): Promise<typeof X509> {
  const reflect = Reflect as unknown as Record<string, unknown>;
  reflect['getMetadata'] ??= () => undefined;
  reflect['getOwnMetadata'] ??= () => undefined;
  reflect['defineMetadata'] ??= () => {};
  return import('@peculiar/x509');
}
