import {readdir, readFile, stat} from 'node:fs/promises';
import {join} from 'node:path';
import process from 'node:process';
import {parseAllDocuments} from 'yaml';
import {isJson, type Json} from '../policy/read-object.ts';

/** An object in a file. */
export interface Found {
  /** `deploy.yaml`, `deploy.yaml#2` for the second document, `-` for standard input. */
  readonly where: string;
  readonly object: Json;
}

/** A file cannot be read as objects. The message names it. */
export class ObjectsError extends Error {
  override readonly name = 'ObjectsError';
}

const EXTENSIONS = /\.(?:ya?ml|json)$/i;
const TEMPLATE = '. If this is a template, render it first: helm template CHART | noost check -';
const MAX_FILES = 10_000;
const MAX_BYTES = 32 << 20;
const MAX_DEPTH = 16;

/**
 * Reads Kubernetes objects: files of YAML (several documents) or JSON, folders with all below them, `-` for standard input.
 * Lists are taken apart. @throws {ObjectsError} also if a path brings no object at all.
 */
export async function readObjects(paths: readonly string[]): Promise<Found[]> {
  const found: Found[] = [];
  for (const path of paths) {
    const before = found.length;
    for (const file of path === '-' ? ['-'] : await filesAt(path)) found.push(...objectsIn(file, await textOf(file)));
    // A pipe whose beginning failed brings nothing: that is no manifest in which all is well.
    if (found.length === before) throw new ObjectsError(`${path}: holds no Kubernetes object`);
  }
  return found;
}

/** Its name, or the beginning of the one that it will get; empty where it has neither. */
export function nameOf({metadata}: Json): string {
  const {name, generateName} = isJson(metadata) ? metadata : {};
  if (typeof name === 'string') return name;
  return typeof generateName === 'string' ? generateName : '';
}

async function filesAt(path: string): Promise<string[]> {
  const kind = await stat(path).catch((error: unknown) => {
    throw new ObjectsError(`${path}: ${reasonOf(error)}`, {cause: error});
  });
  if (!kind.isDirectory()) return [path];
  const files = await filesBelow(path);
  // A wrong folder is no folder in which all is well.
  if (files.length === 0) throw new ObjectsError(`${path}: no file below it ends in .yaml, .yml or .json`);
  return files;
}

async function filesBelow(path: string, depth = 0): Promise<string[]> {
  if (depth > MAX_DEPTH) throw new ObjectsError(`${path}: folders are nested deeper than ${MAX_DEPTH}`);
  const entries = (await readdir(path, {withFileTypes: true})).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const files: string[] = [];
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue;
    const below = join(path, entry.name);
    if (entry.isDirectory()) files.push(...(await filesBelow(below, depth + 1)));
    else if (EXTENSIONS.test(entry.name)) files.push(below);
    if (files.length > MAX_FILES) throw new ObjectsError(`${path}: more than ${MAX_FILES} files`);
  }
  return files;
}

async function textOf(file: string): Promise<string> {
  try {
    if (file !== '-') {
      const {size} = await stat(file);
      if (size > MAX_BYTES) throw new ObjectsError(`${file}: larger than ${MAX_BYTES >> 20} MiB`);
      return await readFile(file, 'utf8');
    }
    const chunks: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
      if ((bytes += chunk.length) > MAX_BYTES) throw new ObjectsError(`-: larger than ${MAX_BYTES >> 20} MiB`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString('utf8');
  } catch (error) {
    if (error instanceof ObjectsError) throw error;
    throw new ObjectsError(`${file}: ${reasonOf(error)}`, {cause: error});
  }
}

function objectsIn(file: string, text: string): Found[] {
  try {
    return parsed(file, text);
  } catch (error) {
    if (!(error instanceof ObjectsError) || !text.includes('{{')) throw error;
    throw new ObjectsError(`${error.message}${TEMPLATE}`, {cause: error});
  }
}

function parsed(file: string, text: string): Found[] {
  // kubectl merges `<<`: an image that comes that way is an image.
  const documents = parseAllDocuments(text, {uniqueKeys: true, merge: true, logLevel: 'error'});
  const all = 'empty' in documents ? [] : documents;
  return all.flatMap((document, i) => {
    const where = all.length > 1 ? `${file}#${i + 1}` : file;
    const [wrong] = document.errors;
    if (wrong !== undefined) throw new ObjectsError(`${where}: ${wrong.message.split('\n', 1)[0] ?? ''}`);
    const value: unknown = toJson(document, where);
    if (value === null || value === undefined) return [];
    if (!isJson(value)) throw new ObjectsError(`${where}: expected a Kubernetes object`);
    return itemsOf(value, where);
  });
}

function toJson(document: {toJS(options: {maxAliasCount: number}): unknown}, where: string): unknown {
  try {
    return document.toJS({maxAliasCount: 100});
  } catch (error) {
    throw new ObjectsError(`${where}: ${(error as Error).message}`, {cause: error});
  }
}

function itemsOf(value: Json, where: string): Found[] {
  const {kind, apiVersion, items} = value;
  if (typeof kind !== 'string' || typeof apiVersion !== 'string')
    throw new ObjectsError(`${where}: expected apiVersion and kind`);
  if (!kind.endsWith('List') || !Array.isArray(items)) return [{where, object: value}];
  if (items.length === 0) return [{where, object: value}]; // `kubectl get` found none: that is an answer, not nothing
  return items.flatMap((item: unknown, i) => {
    if (!isJson(item)) throw new ObjectsError(`${where}: items[${i}]: expected an object`);
    // Lists of one kind leave out what each item is.
    const own = {apiVersion, kind: kind.slice(0, -'List'.length), ...item};
    return itemsOf(own, where);
  });
}

function reasonOf(error: unknown): string {
  const {code, message} = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'there is no such file';
  return code === 'EACCES' ? 'may not be read' : message;
}
