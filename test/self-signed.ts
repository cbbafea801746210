import {execFile} from 'node:child_process';
import {mkdtemp, readFile, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {promisify} from 'node:util';

/** A certificate that is its own CA, for `127.0.0.1`, `localhost` and further names. */
export interface SelfSigned extends AsyncDisposable {
  readonly cert: string;
  readonly key: string;
  /** The certificate and key as files, which exist until disposed of. */
  readonly certFile: string;
  readonly keyFile: string;
}

/** Made by `openssl`, which the tests install. */
export async function newSelfSigned(names: readonly string[] = []): Promise<SelfSigned> {
  const dir = await mkdtemp(join(tmpdir(), 'noost-tls-'));
  const [certFile, keyFile] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
  const alt = ['IP:127.0.0.1', 'DNS:localhost', ...names.map((name) => `DNS:${name}`)].join(',');
  const flags = ['-x509', '-nodes', '-days', '2', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
  const subject = ['-subj', '/CN=noost-test', '-addext', `subjectAltName=${alt}`];
  await promisify(execFile)('openssl', ['req', ...flags, ...subject, '-keyout', keyFile, '-out', certFile]);
  return {
    cert: await readFile(certFile, 'utf8'),
    key: await readFile(keyFile, 'utf8'),
    certFile,
    keyFile,
    [Symbol.asyncDispose]: () => rm(dir, {recursive: true, force: true}),
  };
}
