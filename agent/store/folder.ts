import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  statfsSync,
  writeSync,
} from 'node:fs';
import {join} from 'node:path';
import {type Digest, digestOf, splitDigest} from '../../oci/digest.ts';

/**
 * The versions this program knows. 1 is a cache alone. 2 has `hosted/` beside it, whose blobs lie among the cache's: a
 * program that knows only 1 would evict them, and must refuse the folder. One of version 1 is brought up when the first
 * image can be pushed to it (`hostIn`), and nothing in it changes; a cache alone stays at 1, for programs of either kind.
 */
const CACHE_VERSION = 1;
const HOSTED_VERSION = 2;

/** `f_type` of file systems on which SQLite's locks and fsync do not mean what they say. @see statfs(2) */
const NETWORK_FILE_SYSTEMS: ReadonlyMap<number, string> = new Map([
  [0x6969, 'NFS'],
  [0x517b, 'SMB'],
  [0xff534d42, 'CIFS'],
  [0xfe534d42, 'SMB2'],
  [0x01021997, '9p'],
  [0x65735546, 'FUSE'],
  [0x00c36400, 'Ceph'],
  [0x5346414f, 'AFS'],
  [0x73757245, 'Coda'],
  [0x0bd00bd0, 'Lustre'],
  [0x47504653, 'GPFS'],
]);

/** The data folder cannot be used as it is, and waiting will not help: a person has to choose. At start only. */
export class DataFolderError extends Error {
  override readonly name = 'DataFolderError';
}

/** Where things are in the data folder. File names come from digests alone (D-031). */
export class Folder {
  readonly root: string;
  readonly blobs: string;
  readonly ingest: string;
  readonly quarantine: string;
  readonly index: string;
  readonly lock: string;
  readonly ballast: string;
  /** What only hosted images need: metadata, and uploads under way. */
  readonly hosted: string;
  readonly repositories: string;
  readonly uploads: string;
  readonly temporary: string;
  readonly suspects: string;
  constructor(root: string) {
    this.root = root;
    this.blobs = join(root, 'blobs');
    this.ingest = join(root, 'ingest');
    this.quarantine = join(root, 'quarantine');
    this.index = join(root, 'index.db');
    this.lock = join(root, 'lock');
    this.ballast = join(root, 'ballast');
    this.hosted = join(root, 'hosted');
    this.repositories = join(this.hosted, 'repositories');
    this.uploads = join(this.hosted, 'uploads');
    this.temporary = join(this.hosted, 'temporary');
    this.suspects = join(this.hosted, 'suspects');
  }
  /** `blobs/<algorithm>/<aa>`: the folder of a blob's file. */
  shard(digest: Digest): string {
    const {algorithm, hex} = splitDigest(digest);
    return join(this.blobs, algorithm, hex.slice(0, 2));
  }
  blob(digest: Digest): string {
    return join(this.shard(digest), splitDigest(digest).hex);
  }
  /** @param owner who alone may see it before it is whole; any text. */
  part(digest: Digest, owner?: string): string {
    const mark = owner === undefined ? '' : `.${splitDigest(digestOf(Buffer.from(owner))).hex.slice(0, 16)}`;
    return join(this.ingest, `${digest.replace(':', '-')}${mark}.part`);
  }
  quarantined(digest: Digest): string {
    return join(this.quarantine, digest.replace(':', '-'));
  }
}

/**
 * Makes the folder what this version expects, or refuses it.
 * @throws {DataFolderError} for a network file system or another version's folder.
 * @throws {Error} of `node:fs` where the disk does not let us: that may heal.
 */
export function prepareFolder(root: string): Folder {
  mkdirSync(root, {recursive: true, mode: 0o700});
  refuseNetworkFileSystem(root);
  const folder = new Folder(root);
  const version = readVersion(join(root, 'layout.json'));
  if (version !== undefined && version !== CACHE_VERSION && version !== HOSTED_VERSION)
    throw new DataFolderError(
      `${root} has layout version ${JSON.stringify(version)}, this program knows ${HOSTED_VERSION} and earlier: run the version that ` +
        'made it, or point --data at an empty folder (a cache fills itself again)',
    );
  makePrivate(root);
  for (const path of [folder.blobs, folder.ingest, folder.quarantine]) mkdirSync(path, {recursive: true, mode: 0o700});
  if (version === undefined) writeVersion(root, CACHE_VERSION);
  return folder;
}

/** D-031: also where somebody made the folder beforehand. @throws {Error} of `node:fs`. */
function makePrivate(root: string): void {
  try {
    chmodSync(root, 0o700);
  } catch (error) {
    const {code} = error as NodeJS.ErrnoException;
    if (code !== 'EPERM') throw error;
    // As a volume's own folder is, which is root's whoever the pod runs as.
    const message = `EPERM: ${root} belongs to another user and cannot be made private: use a folder below it, such as ${join(root, 'data')}`;
    throw Object.assign(new Error(message, {cause: error}), {code});
  }
}

/** Makes a folder one that images can be hosted in. @throws {Error} of `node:fs`. */
export function hostIn(folder: Folder): void {
  // The version first: what is pushed must never meet a program that would evict it.
  if (readVersion(join(folder.root, 'layout.json')) !== HOSTED_VERSION) writeVersion(folder.root, HOSTED_VERSION);
  for (const path of [folder.hosted, folder.repositories, folder.uploads, folder.temporary, folder.suspects])
    mkdirSync(path, {recursive: true, mode: 0o700});
  for (const path of [folder.hosted, folder.root]) syncFolderNow(path);
}

function refuseNetworkFileSystem(root: string): void {
  const name = NETWORK_FILE_SYSTEMS.get(statfsSync(root).type >>> 0);
  if (name === undefined) return;
  throw new DataFolderError(`${root} is on ${name}: the store needs a local file system (locks and fsync that hold)`);
}

/** `undefined` for a folder that has none: new. */
function readVersion(path: string): unknown {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    return (JSON.parse(text) as {version?: unknown} | null)?.version ?? 'unknown'; // compared, never used otherwise
  } catch {
    return 'unreadable';
  }
}

function writeVersion(root: string, version: number): void {
  const temporary = join(root, 'layout.json.new');
  const fd = openSync(temporary, 'w', 0o600);
  try {
    writeSync(fd, `${JSON.stringify({version})}\n`);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, join(root, 'layout.json'));
}

function syncFolderNow(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
