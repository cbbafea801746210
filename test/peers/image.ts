import {createHash, type Hash} from 'node:crypto';
import {createWriteStream} from 'node:fs';
import {mkdir, rename, stat, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {Readable} from 'node:stream';
import {pipeline} from 'node:stream/promises';
import {createGzip, createZstdCompress} from 'node:zlib';
import {digestOf, splitDigest, type Digest} from '../../oci/digest.ts';
import {tar, type TarEntry} from './tar.ts';

export type Compression = 'none' | 'gzip' | 'zstd';

export interface LayerSpec {
  readonly compression: Compression;
  readonly entries: readonly TarEntry[];
}

export interface PlatformSpec {
  readonly architecture: 'amd64' | 'arm64';
  readonly layers: readonly LayerSpec[];
}

export interface ImageSpec {
  /** Docker's types have no zstd layer. */
  readonly mediaTypes: 'oci' | 'docker';
  /** One: an image. More: an index of them. */
  readonly platforms: readonly PlatformSpec[];
  /** What it runs. @default /bin/true */
  readonly command?: readonly string[];
}

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly platform?: {readonly os: string; readonly architecture: string};
}

/** One platform's image: its manifest, and its configuration and layers. */
export interface PlatformImage {
  readonly manifest: Descriptor;
  readonly blobs: readonly Descriptor[];
}

/** An image on disk, in the form of skopeo's `dir:` transport, which keeps every byte and every media type. */
export interface Image {
  readonly folder: string;
  /** The index or, where there is one platform only, its manifest. */
  readonly root: Descriptor;
  /** In the order of the specification. */
  readonly platforms: readonly PlatformImage[];
  /** All manifests below an index; none without one. */
  readonly manifests: readonly Descriptor[];
  /** All configurations and layers, each once. */
  readonly blobs: readonly Descriptor[];
}

const TYPES = {
  oci: {
    index: 'application/vnd.oci.image.index.v1+json',
    manifest: 'application/vnd.oci.image.manifest.v1+json',
    config: 'application/vnd.oci.image.config.v1+json',
    none: 'application/vnd.oci.image.layer.v1.tar',
    gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
    zstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
  },
  docker: {
    index: 'application/vnd.docker.distribution.manifest.list.v2+json',
    manifest: 'application/vnd.docker.distribution.manifest.v2+json',
    config: 'application/vnd.docker.container.image.v1+json',
    none: 'application/vnd.docker.image.rootfs.diff.tar',
    gzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
    zstd: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
  },
} as const;

const COMPRESSOR = {
  gzip: () => createGzip({level: 1}),
  zstd: () => createZstdCompress(),
};

/** Makes an image in `folder`, which it creates. The same specification gives the same bytes. */
export async function makeImage(folder: string, spec: ImageSpec): Promise<Image> {
  await mkdir(folder, {recursive: true});
  await writeFile(join(folder, 'version'), 'Directory Transport Version: 1.1\n');
  const platforms: PlatformImage[] = [];
  for (const platform of spec.platforms) platforms.push(await makePlatform(folder, spec, platform));
  const [only, ...others] = platforms.map(({manifest}) => manifest);
  const manifests = only && others.length > 0 ? [only, ...others] : [];
  const root = only && others.length === 0 ? only : await makeIndex(folder, spec, manifests);
  await rename(join(folder, `${splitDigest(root.digest).hex}.manifest.json`), join(folder, 'manifest.json'));
  const blobs = new Map(platforms.flatMap((platform) => platform.blobs).map((blob) => [blob.digest, blob]));
  return {folder, root, platforms, manifests, blobs: [...blobs.values()]};
}

async function makePlatform(folder: string, spec: ImageSpec, platform: PlatformSpec): Promise<PlatformImage> {
  const types = TYPES[spec.mediaTypes];
  const layers: Descriptor[] = [];
  const diffIds: Digest[] = [];
  for (const layer of platform.layers) {
    const {descriptor, diffId} = await makeLayer(folder, types[layer.compression], layer);
    layers.push(descriptor);
    diffIds.push(diffId);
  }
  const config = await putJson(folder, types.config, '', {
    architecture: platform.architecture,
    os: 'linux',
    config: {Cmd: spec.command ?? ['/bin/true'], Env: ['PATH=/bin']},
    rootfs: {type: 'layers', diff_ids: diffIds},
  });
  const body = {schemaVersion: 2, mediaType: types.manifest, config, layers};
  const manifest = await putJson(folder, types.manifest, '.manifest.json', body);
  const descriptor = {...manifest, platform: {os: 'linux', architecture: platform.architecture}};
  return {manifest: descriptor, blobs: [config, ...layers]};
}

async function makeIndex(folder: string, spec: ImageSpec, manifests: readonly Descriptor[]): Promise<Descriptor> {
  const mediaType = TYPES[spec.mediaTypes].index;
  return putJson(folder, mediaType, '.manifest.json', {schemaVersion: 2, mediaType, manifests});
}

/** Indented, as no machine would write it again: whoever re-serialises is found out (P-06). */
async function putJson(folder: string, mediaType: string, suffix: string, value: object): Promise<Descriptor> {
  const bytes = Buffer.from(`${JSON.stringify(value, undefined, 3)}\n`);
  const digest = digestOf(bytes);
  await writeFile(join(folder, splitDigest(digest).hex + suffix), bytes);
  return {mediaType, digest, size: bytes.length};
}

/** Passes chunks on and hashes them. */
function through(hash: Hash) {
  return async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of chunks) {
      hash.update(chunk);
      yield chunk;
    }
  };
}

async function makeLayer(folder: string, mediaType: string, layer: LayerSpec) {
  const [plain, packed] = [createHash('sha256'), createHash('sha256')];
  const temporary = join(folder, 'layer.part');
  const source = Readable.from(tar(layer.entries), {objectMode: false});
  const out = createWriteStream(temporary);
  if (layer.compression === 'none') await pipeline(source, through(packed), out);
  else await pipeline(source, through(plain), COMPRESSOR[layer.compression](), through(packed), out);
  const hex = packed.digest('hex');
  await rename(temporary, join(folder, hex));
  const {size} = await stat(join(folder, hex));
  const descriptor: Descriptor = {mediaType, digest: `sha256:${hex}`, size};
  return {descriptor, diffId: `sha256:${layer.compression === 'none' ? hex : plain.digest('hex')}` as const};
}
