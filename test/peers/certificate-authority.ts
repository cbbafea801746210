import {join} from 'node:path';
import {writeFile} from 'node:fs/promises';
import {run} from './run.ts';

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
}

/** A certificate authority for one test, made by openssl in a folder of the test's. */
export class CertificateAuthority implements Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.certFile = join(folder, 'ca.crt');
    this.keyFile = join(folder, 'ca.key');
  }

  static async create(folder: string): Promise<CertificateAuthority> {
    const ca = new CertificateAuthority(folder);
    const out = ['-keyout', ca.keyFile, '-out', ca.certFile];
    await run('openssl', ['req', '-x509', ...KEY, '-days', '30', '-subj', '/CN=noost-test-ca', ...out]);
    return ca;
  }

  /** Issues a certificate for servers and clients alike. @param names host names and IP addresses; the first names the files. */
  async issue(...names: readonly string[]): Promise<Certificate> {
    const base = join(this.#folder, names[0] ?? 'leaf');
    const [request, certFile, keyFile, extensions] = [`${base}.csr`, `${base}.crt`, `${base}.key`, `${base}.ext`];
    const alternatives = names.map((name) => (/^[\d.]+$|:/.test(name) ? `IP:${name}` : `DNS:${name}`));
    await writeFile(extensions, `subjectAltName=${alternatives.join(',')}\nextendedKeyUsage=serverAuth,clientAuth\n`);
    await run('openssl', ['req', ...KEY, '-keyout', keyFile, '-out', request, '-subj', '/CN=noost-test']);
    const by = ['-CA', this.certFile, '-CAkey', this.keyFile, '-CAcreateserial', '-days', '30'];
    await run('openssl', ['x509', '-req', '-in', request, ...by, '-out', certFile, '-extfile', extensions]);
    return {certFile, keyFile};
  }
}
