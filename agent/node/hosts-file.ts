import {randomBytes} from 'node:crypto';
import {chmod, chown, link, mkdir, open, readdir, rename, rm, unlink} from 'node:fs/promises';
import {basename, dirname, join} from 'node:path';
import {fault} from '../../proc/fault.ts';
import {besides, isLeftover} from './host-path.ts';
import {digestOf, takeOut, type Certificates, type TakenOut} from './hosts-merge.ts';
import type {Mark} from './hosts-mark.ts';
import {
  certificatesIn,
  isSame,
  lstatIfThere,
  originalOf,
  readHosts,
  type Entry,
  type HostsState,
  type Place,
} from './hosts-state.ts';

/** Somebody else changed the file while we were about to: nothing was done, and it is to be looked at anew. */
export class ChangedMeanwhile extends Error {
  override readonly name = 'ChangedMeanwhile';
}

/** Whoever may read this file may read private images. */
const SECRET_MODE = 0o600;
const PLAIN_MODE = 0o644;
const FOLDER_MODE = 0o755;

/** What is to stand in a file beside what stands there. */
export interface Wish {
  /** Then the file is for root alone. */
  readonly hasSecret: boolean;
  /** @param base the file without us. @param noted for the mark. @throws {NotMergeable} */
  merge(base: string, certificates: Certificates, noted: Omit<Mark, 'url' | 'base' | 'broken'>): string;
}

/** The owner of what a person wrote by the command line. */
export const MANUAL = 'manual';

export interface Writer {
  /** Of this start of the agent, or `manual`. */
  readonly owner: string;
  /** When it began: of two that write the same file the later one has it, so that they do not take it from each other. */
  readonly since: Date;
}

/**
 * Writes our host into a folder's hosts.toml. Every step leaves a state from which `restoreHosts` finds back:
 * the file is replaced by rename, and what stood there keeps its inode under another name, with its mode, owner, times
 * and whatever else hangs on it; a link stays a link there.
 * @returns whether anything had to be changed.
 * @throws {NotMergeable | ChangedMeanwhile} and what the system says.
 */
export async function writeHosts(place: Place, wish: Wish, writer: Writer): Promise<boolean> {
  const state = await readHosts(place);
  const {file, folder, original, missing} = state;
  const taken = file === undefined ? undefined : takeOut(file.text);
  if (taken !== undefined && file?.stat.isSymbolicLink() === true) return false; // a link to one that has us already
  if (isOfNewer(taken, writer)) return false;
  const base = baseOf(state, taken);
  const certificates = missing.length > 0 ? {ca: [], client: []} : await certificatesIn(folder);
  const isMine = taken?.mark?.owner === writer.owner;
  const text = wish.merge(base.text, certificates, {
    owner: writer.owner,
    since: isMine ? (taken?.mark?.since ?? '') : writer.since.toISOString(),
    mode: base.mode.toString(8),
    made: base.made,
  });
  const mode = wish.hasSecret ? SECRET_MODE : base.mode;
  if (file?.text === text && Number(file.stat.mode & 0o7777n) === mode) return false;
  if (missing.length > 0) return makeFolders(state, {text, mode});
  const temporary = await writeBeside(join(folder, state.name), text, mode);
  await orRemove(temporary, async () => {
    if (base.keep === 'file') await keepOriginal(state);
    else if (base.keep === 'rest') await replaceOriginal(state, base);
    else if (base.keep === 'none' && original !== undefined) await unlink(original.path);
    await replace(state, temporary);
  });
  return true;
}

/** A newer agent's file is left to it (a rolling update), unless its clock says that it has not begun yet. */
function isOfNewer(taken: TakenOut | undefined, {owner, since}: Writer): boolean {
  const mark = taken?.mark;
  if (mark === undefined || mark.owner === owner || mark.owner === MANUAL || owner === MANUAL) return false;
  const theirs = Date.parse(mark.since);
  return theirs > since.getTime() && theirs <= Date.now();
}

/** Whose lines are to be taken out. */
export interface Of {
  readonly owner?: string | undefined;
  /** All but those of whoever began later. */
  readonly notNewerThan?: Writer;
}

function isOf(taken: TakenOut, {owner, notNewerThan}: Of): boolean {
  if (owner !== undefined && taken.mark?.owner !== owner) return false;
  return notNewerThan === undefined || !isOfNewer(taken, notNewerThan);
}

interface Base {
  /** What is merged into. */
  readonly text: string;
  readonly mode: number;
  readonly made: number;
  /** What the original is to be: the file as it stands; the rest of an edited one; as it is already; nothing. */
  readonly keep: 'file' | 'rest' | 'as it is' | 'none';
}

function baseOf({file, original, missing}: HostsState, taken: TakenOut | undefined): Base {
  if (file === undefined) return {text: '', mode: PLAIN_MODE, made: 1 + missing.length, keep: 'none'};
  if (taken === undefined) return {text: file.text, mode: modeOf(file), made: 0, keep: 'file'};
  const mode = original?.stat.isFile() === true ? modeOf(original) : modeOfMark(taken);
  const made = taken.mark?.made ?? 0;
  if (!taken.untouched) {
    const isOurs = made > 0 && taken.rest.trim() === '';
    return {text: taken.rest, mode, made: isOurs ? made : 0, keep: isOurs ? 'none' : 'rest'};
  }
  // Behind a link there may be something new by now.
  const isLink = original?.stat.isSymbolicLink() === true;
  const text = isLink ? (takeOut(original.text)?.rest ?? original.text) : taken.rest; // or another of our files
  return {text, mode, made, keep: 'as it is'};
}

/**
 * Takes our host out and puts back what was there: the original itself if nobody has edited the file meanwhile,
 * else the edited file without our lines. Also after a write or a restore that was interrupted anywhere.
 * @param of whose lines; all if nothing is said.
 * @returns what was done.
 * @throws {NotMergeable | ChangedMeanwhile} and what the system says.
 */
export async function restoreHosts(place: Place, of: Of): Promise<'nothing' | 'restored' | 'removed' | 'kept edits'> {
  const state = await readHosts(place);
  const {file, original} = state;
  const taken = file === undefined ? undefined : takeOut(file.text);
  if (taken !== undefined && !isOf(taken, of)) return 'nothing';
  if (file === undefined || taken === undefined || file.stat.isSymbolicLink()) {
    // The user's own file, or none by the user's own hand: what we kept is of the past, or the same file once more.
    if (original === undefined) return 'nothing';
    await unlink(original.path);
    return 'restored';
  }
  // Without our first line nothing tells whose file it was: one that holds nothing else was ours.
  const made = taken.mark?.made ?? (original === undefined ? 1 : 0);
  if (taken.rest.trim() === '' && made > 0) {
    await remove(state, made);
    return 'removed';
  }
  const isWhole =
    original !== undefined && (original.stat.isSymbolicLink() || digestOf(original.text) === digestOf(taken.rest));
  if (taken.untouched && isWhole) {
    fault('node.restore');
    await replace(state, original.path);
    return 'restored';
  }
  const from = original?.stat.isFile() === true ? original : undefined;
  const temporary = await writeBeside(
    join(state.folder, state.name),
    taken.rest,
    from === undefined ? modeOfMark(taken) : modeOf(from),
  );
  await orRemove(temporary, async () => {
    await giveTo(temporary, from);
    await replace(state, temporary);
  });
  if (original !== undefined) await unlink(original.path);
  return taken.untouched ? 'restored' : 'kept edits';
}

/** Removes what an interrupted write or restore left behind in a folder. */
export async function sweepFolder(folder: string): Promise<number> {
  const left = (await readdir(folder).catch(() => [])).filter(isLeftover);
  for (const name of left) await rm(join(folder, name), {recursive: true, force: true});
  return left.length;
}

function modeOf({stat}: Entry): number {
  return stat.isSymbolicLink() ? PLAIN_MODE : Number(stat.mode & 0o7777n);
}

function modeOfMark({mark}: TakenOut): number {
  const mode = Number.parseInt(mark?.mode ?? '', 8);
  return Number.isInteger(mode) && mode > 0 && mode <= 0o7777 ? mode : PLAIN_MODE;
}

async function writeBeside(path: string, text: string, mode: number): Promise<string> {
  const temporary = besides(path, randomBytes(6).toString('hex'), 'tmp');
  fault('node.temporary');
  await orRemove(temporary, async () => {
    await using file = await open(temporary, 'wx', SECRET_MODE);
    await file.writeFile(text);
    await file.chmod(mode);
    await file.sync();
  });
  fault('node.written');
  return temporary;
}

/** What fails (a full disk) leaves nothing of its own behind. */
async function orRemove(temporary: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    await rm(temporary, {recursive: true, force: true}).catch(() => undefined); // the first error is the one to tell
    throw error;
  }
}

/** A second name for the file that is there: its inode outlives the rename over it. */
async function keepOriginal({file, folder, name, original}: HostsState): Promise<void> {
  if (file === undefined) return;
  if (original !== undefined) await unlink(original.path);
  fault('node.keep');
  await link(file.path, originalOf({folder, name}));
  fault('node.kept');
}

/** Somebody edited the file with our lines in it: the original is from now on what it is without them. */
async function replaceOriginal({folder, name, original}: HostsState, {text, mode}: Base): Promise<void> {
  const temporary = await writeBeside(join(folder, name), text, mode);
  await orRemove(temporary, async () => {
    await giveTo(temporary, original);
    fault('node.keep');
    await rename(temporary, originalOf({folder, name}));
  });
  fault('node.kept');
}

/** Without the right to do so (no capabilities) it stays root's: said in docs/node.md. */
async function giveTo(path: string, like: Entry | undefined): Promise<void> {
  if (like === undefined) return;
  await chown(path, Number(like.stat.uid), Number(like.stat.gid)).catch(() => undefined);
  if (like.stat.isFile()) await chmod(path, modeOf(like));
}

async function replace({file, folder, name}: HostsState, by: string): Promise<void> {
  const path = join(folder, name);
  if (!isSame(file, await lstatIfThere(path))) throw new ChangedMeanwhile(`${path} was changed meanwhile`);
  fault('node.rename');
  await rename(by, path);
  fault('node.renamed');
  await sync(folder);
}

/** Folders appear as a whole, with the file in them: none is left without. */
async function makeFolders(
  {missing, folder, name}: HostsState,
  {text, mode}: {readonly text: string; readonly mode: number},
): Promise<true> {
  const top = missing[0] ?? folder;
  const temporary = besides(top, randomBytes(6).toString('hex'), 'tmp');
  fault('node.folder');
  await orRemove(temporary, async () => {
    await mkdir(temporary, {mode: FOLDER_MODE}); // recursive alone, Node says ENOENT of a read-only file system
    const inner = join(temporary, folder.slice(top.length));
    await mkdir(inner, {recursive: true, mode: FOLDER_MODE});
    await rename(await writeBeside(join(inner, name), text, mode), join(inner, name));
    fault('node.rename');
    if ((await lstatIfThere(top)) !== undefined) throw new ChangedMeanwhile(`${top} was made meanwhile`);
    await rename(temporary, top);
  });
  fault('node.renamed');
  await sync(dirname(top));
  return true;
}

/** The file, and with it the folders that we made and that nobody has put anything else into. */
async function remove({file, folder, name, original}: HostsState, made: number): Promise<void> {
  if (file === undefined || !isSame(file, await lstatIfThere(file.path)))
    throw new ChangedMeanwhile(`${folder} was changed meanwhile`);
  let top: string | undefined;
  let inner = name;
  for (let [level, at] = [1, folder]; level < made; level++, at = dirname(at)) {
    const others = (await readdir(at)).filter(
      (other) => other !== inner && !isLeftover(other) && join(at, other) !== original?.path,
    );
    if (others.length > 0) break;
    top = at;
    inner = basename(at);
  }
  fault('node.remove');
  if (top === undefined) {
    await unlink(file.path);
    if (original !== undefined) await unlink(original.path);
  } else {
    const gone = besides(top, randomBytes(6).toString('hex'), 'gone');
    await rename(top, gone);
    fault('node.gone');
    await rm(gone, {recursive: true, force: true});
  }
  fault('node.removed');
  await sync(dirname(top ?? file.path));
}

async function sync(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  await handle.sync();
}
