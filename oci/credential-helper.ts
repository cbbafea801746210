import {spawn} from 'node:child_process';
import type {Login} from './docker-config.ts';

/** A helper that takes longer has hung: most ask a local daemon or one cloud API. */
const TIMEOUT_MS = 10_000;
const MAX_OUTPUT = 64 * 1024;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]*$/;

/**
 * Asks a docker credential helper: `docker-credential-<name> get`, the server on stdin, JSON back (C-023).
 * @param helper the name after `docker-credential-`, or an absolute path.
 * @param server as docker writes it: a host, or `https://index.docker.io/v1/`.
 * @returns `undefined` if it has none.
 * @throws {Error} whose message names the helper and holds none of its output.
 */
export async function askCredentialHelper(
  helper: string,
  server: string,
  timeoutMs = TIMEOUT_MS,
): Promise<Login | undefined> {
  if (!helper.startsWith('/') && !NAME.test(helper)) throw new Error('Not the name of a credential helper');
  const {code, output} = await run(helper.startsWith('/') ? helper : `docker-credential-${helper}`, server, timeoutMs);
  if (code !== 0 && /not found/i.test(output)) return undefined;
  if (code !== 0) throw new Error(`Credential helper ${helper} ended with ${code ?? 'a signal or a timeout'}`);
  return toLogin(output, helper);
}

function run(command: string, server: string, timeoutMs: number): Promise<{code: number | null; output: string}> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, ['get'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
    });
    const chunks: Buffer[] = [];
    let size = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_OUTPUT) child.kill('SIGKILL');
      else chunks.push(chunk);
    });
    child.on('error', () => reject(new Error(`Credential helper ${command} could not be run`)));
    // `close` waits for grandchildren that hold the pipe; `exit` with a moment for the rest of the output does not.
    child.on('close', (code) => resolve({code, output: Buffer.concat(chunks).toString()}));
    child.on('exit', () => setTimeout(() => child.stdout.destroy(), 200).unref());
    child.stdin.on('error', () => {}); // it may not read at all
    child.stdin.end(server);
  });
}

function toLogin(output: string, helper: string): Login | undefined {
  let parsed: {Username?: unknown; Secret?: unknown};
  try {
    parsed = JSON.parse(output) as typeof parsed; // each field is looked at below
  } catch {
    throw new Error(`Credential helper ${helper} did not answer JSON`);
  }
  const {Username: username, Secret: secret} = parsed;
  if (typeof username !== 'string' || typeof secret !== 'string' || secret === '') return undefined;
  const isToken = username === '<token>';
  return {
    username,
    password: isToken ? '' : secret,
    identityToken: isToken ? secret : undefined,
    registryToken: undefined,
  };
}
