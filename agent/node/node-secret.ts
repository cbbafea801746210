import {randomBytes} from 'node:crypto';
import {link, open, readFile, rm} from 'node:fs/promises';
import {join} from 'node:path';
import {isAbsent} from './host-path.ts';

export const MIN_SECRET = 16;
export const MAX_SECRET = 1024;
const NAME = 'node-secret';
const BYTES = 24;

/** The node's secret as a file has it, trimmed. @throws {SyntaxError} if it is too short, too long, or no header can carry it. */
export function parseSecret(text: string): string {
  const secret = text.trim();
  if (secret.length < MIN_SECRET || secret.length > MAX_SECRET || !/^[\u0021-\u007e]+$/.test(secret))
    throw new SyntaxError('Not a secret');
  return secret;
}

/** Where an agent that configures its node keeps the secret that it writes there. */
export function secretFileIn(dataDir: string): string {
  return join(dataDir, NAME);
}

/**
 * The secret between this node's runtime and us, made if there is none: lower-case hexadecimal, for it also has to be a
 * component of a repository's path. It stays the same over restarts, so that what stands in hosts.toml is right from the
 * first moment of the next one; to change it, remove the file and restart.
 * @throws {Error} of the system; EINVAL if the file holds no secret.
 */
export async function ensureSecret(file: string): Promise<string> {
  for (;;) {
    try {
      return parseSecret(await readFile(file, 'utf8'));
    } catch (error) {
      if (error instanceof SyntaxError)
        throw Object.assign(new Error(`${file} holds no secret: remove it, and another is made`), {code: 'EINVAL'});
      if (!isAbsent(error)) throw error;
    }
    const temporary = `${file}.${randomBytes(6).toString('hex')}.tmp`;
    try {
      await write(temporary, `${randomBytes(BYTES).toString('hex')}\n`);
      await link(temporary, file); // never over one that somebody made meanwhile
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      await rm(temporary, {force: true});
    }
  }
}

async function write(path: string, text: string): Promise<void> {
  await using file = await open(path, 'wx', 0o600);
  await file.writeFile(text);
  await file.sync();
}
