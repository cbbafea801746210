import {createReadStream} from 'node:fs';
import {readdir, readFile} from 'node:fs/promises';
import {createHash} from 'node:crypto';
import {join} from 'node:path';
import {pipeline} from 'node:stream/promises';
import type {Digest} from '../../oci/digest.ts';
import type {Descriptor, Image} from './image.ts';

/**
 * What of an image is not, byte for byte, in a copy that skopeo made of all of it.
 * @param transport `oci`: an image layout · `dir`: as `Image` itself is laid out.
 */
export async function missingFromCopy(image: Image, folder: string, transport: 'oci' | 'dir'): Promise<Descriptor[]> {
  const present = await (transport === 'oci' ? layoutContents(folder) : dirContents(folder));
  return [image.root, ...image.manifests, ...image.blobs].filter(({digest}) => !present.has(digest));
}

/** Digests of the files' bytes, whatever their names say. */
async function layoutContents(folder: string): Promise<Set<Digest>> {
  const index = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8')) as {manifests: Descriptor[]};
  const files = (await readdir(join(folder, 'blobs', 'sha256'))).map((name) => join(folder, 'blobs', 'sha256', name));
  const digests = new Set(await Promise.all(files.map(fileDigest)));
  // What the layout says that it holds has to be among it, too.
  for (const {digest} of index.manifests) if (!digests.has(digest)) throw new Error(`${digest} is named but not there`);
  return digests;
}

async function dirContents(folder: string): Promise<Set<Digest>> {
  return new Set(await Promise.all((await readdir(folder)).map((name) => fileDigest(join(folder, name)))));
}

async function fileDigest(path: string): Promise<Digest> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, {highWaterMark: 1024 * 1024}), hash);
  return `sha256:${hash.digest('hex')}`;
}
