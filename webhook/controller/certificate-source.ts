import type {X509Certificate} from 'node:crypto';
import type {KeyPair} from './key-pair.ts';

/** Where the certificate comes from: a CA of our own in a Secret, or files. */
export interface CertificateSource extends AsyncDisposable {
  /** The newest that is whole. */
  readonly pair: KeyPair | undefined;
  /** What the API server has to trust: also what signed certificates that a replica may still serve. */
  readonly bundle: readonly X509Certificate[];
  /** Why there is no certificate, or no new one. */
  readonly problem: string | undefined;
  start(): void;
}
