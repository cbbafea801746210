import {execFileSync} from 'node:child_process';
import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import process from 'node:process';
import {parseArgs} from 'node:util';
import {build} from './build.ts';

/** What `npm run image` is told. */
export interface ImageOptions {
  readonly tag: string;
  /** As images name it: `amd64` or `arm64`. */
  readonly arch: string;
  readonly base?: string | undefined;
  readonly node?: string | undefined;
  /** For buildah itself, before its command: where it keeps images. */
  readonly storage?: readonly string[];
}

const CHECKOUT = join(import.meta.dirname, '..');
/** What images call a processor → what npm calls it. */
const CPUS: Readonly<Record<string, string>> = {amd64: 'x64', arm64: 'arm64'};

/**
 * Builds the program and its image with buildah. The time in it is that of the commit, or `SOURCE_DATE_EPOCH`.
 * @returns the image's id, which is the digest of its configuration.
 * @see https://reproducible-builds.org/specs/source-date-epoch/
 */
export async function buildImage({tag, arch, base, node, storage = []}: ImageOptions): Promise<string> {
  await build(CPUS[arch] ?? arch);
  const {version} = JSON.parse(readFileSync(join(CHECKOUT, 'package.json'), 'utf8')) as {version: string}; // our file
  const args = {VERSION: version, REVISION: git('rev-parse', 'HEAD') ?? 'unknown', TARGETARCH: arch};
  const images = {...(base === undefined ? {} : {BASE_IMAGE: base}), ...(node === undefined ? {} : {NODE_IMAGE: node})};
  const buildArgs = Object.entries({...args, ...images}).flatMap(([name, value]) => [
    '--build-arg',
    `${name}=${value}`,
  ]);
  const options = ['--isolation', 'chroot', '--format', 'oci', '--no-cache', '--quiet', '--timestamp', sourceDate()];
  // Debian's buildah knows .dockerignore by itself.
  const words = [...storage, 'build', ...options, '--arch', arch, ...buildArgs, '--tag', tag, '.'];
  return execFileSync('buildah', words, {cwd: CHECKOUT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit']}).trim();
}

function sourceDate(): string {
  return process.env['SOURCE_DATE_EPOCH'] ?? git('log', '-1', '--format=%ct') ?? '0';
}

/** `undefined` where this is no checkout. */
function git(...words: string[]): string | undefined {
  try {
    return execFileSync('git', words, {cwd: CHECKOUT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore']}).trim();
  } catch {
    return undefined;
  }
}

if (import.meta.main) {
  const arch = process.arch === 'x64' ? 'amd64' : process.arch;
  const {values} = parseArgs({
    options: {
      tag: {type: 'string', default: 'localhost/noost:dev'},
      arch: {type: 'string', default: arch},
      base: {type: 'string'},
      node: {type: 'string'},
      storage: {type: 'string', multiple: true, default: []},
    },
  });
  if (Object.hasOwn(CPUS, values.arch)) process.stdout.write(`${await buildImage(values)}\n`);
  else {
    process.stderr.write(`image: --arch: expected ${Object.keys(CPUS).join(' or ')}\n`);
    process.exitCode = 2;
  }
}
