import {mkdir, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {digestOf, splitDigest, type Digest} from '../oci/digest.ts';
import {writeBlobFile, type BlobFile} from './blob-file.ts';

const [KIB, MIB, GIB] = [1024, 1024 ** 2, 1024 ** 3];

export const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json';
export const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json';
const CONFIG_TYPE = 'application/vnd.oci.image.config.v1+json';
const LAYER_TYPE = 'application/vnd.oci.image.layer.v1.tar+gzip';

export interface ManifestFile extends BlobFile {
  readonly mediaType: string;
}

export interface ImageFiles {
  readonly tag: string;
  readonly index: ManifestFile;
  readonly manifest: ManifestFile;
  readonly config: BlobFile;
  readonly layers: readonly BlobFile[];
}

/** What is pulled. All of it is generated: the same bytes on every machine, nothing of it in git. */
export interface Dataset {
  readonly folder: string;
  readonly repository: string;
  readonly large: BlobFile;
  readonly herd: BlobFile;
  /** 12 layers from 2 KB to 300 MB (quick: none above 37.5 MB). */
  readonly image: ImageFiles;
  /** A manifest of 1,500 bytes. */
  readonly small: {readonly tag: string; readonly manifest: ManifestFile};
  /** Many blobs that together do not fit into the cache of the soak. */
  readonly soak: readonly BlobFile[];
  readonly blobs: readonly BlobFile[];
  readonly manifests: readonly {readonly reference: string; readonly file: ManifestFile}[];
}

export interface DatasetSizes {
  readonly largeBytes: number;
  readonly herdBytes: number;
  readonly layerBytes: readonly number[];
  readonly soakBytes: readonly number[];
}

const LAYERS = [2e3, 9e3, 64e3, 350e3, 1.2e6, 3.4e6, 8e6, 15e6, 31e6, 55e6, 120e6, 300e6];
const SOAK_MIB = [0.01, 0.1, 1, 2, 4, 8, 16, 32];
const SMALL_MANIFEST_BYTES = 1500;

export const FULL_SIZES: DatasetSizes = {
  largeBytes: GIB,
  herdBytes: 256 * MIB,
  layerBytes: LAYERS,
  soakBytes: repeat(SOAK_MIB, 16),
};
/** Everything to scale, for a look within minutes. */
export const QUICK_SIZES: DatasetSizes = {
  largeBytes: 128 * MIB,
  herdBytes: 64 * MIB,
  layerBytes: LAYERS.map((size) => (size > 1e6 ? size / 8 : size)),
  soakBytes: repeat(SOAK_MIB, 4),
};

function repeat(sizesMib: readonly number[], times: number): readonly number[] {
  return Array.from({length: times}, () => sizesMib)
    .flat()
    .map((size) => Math.round(size * MIB));
}

/** Writes what is missing below `folder`. The second time it only hashes. */
export async function makeDataset(folder: string, sizes: DatasetSizes): Promise<Dataset> {
  await mkdir(folder, {recursive: true});
  const blob = async (name: string, sizeBytes: number): Promise<BlobFile> =>
    writeBlobFile(join(folder, `${name}-${sizeBytes}`), `${name}-${sizeBytes}`, sizeBytes);
  const [large, herd] = [await blob('large', sizes.largeBytes), await blob('herd', sizes.herdBytes)];
  const soak: BlobFile[] = [];
  for (const [i, size] of sizes.soakBytes.entries()) soak.push(await blob(`soak-${i}`, size));
  const layers: BlobFile[] = [];
  for (const [i, size] of sizes.layerBytes.entries()) layers.push(await blob(`layer-${i}`, Math.round(size)));
  const image = await makeImage(folder, layers);
  const small = {tag: 'small', manifest: await makeSmallManifest(folder, image)};
  return {
    folder,
    repository: 'bench/image',
    large,
    herd,
    image,
    small,
    soak,
    blobs: [large, herd, image.config, ...layers, ...soak],
    manifests: [
      {reference: image.tag, file: image.index},
      {reference: small.tag, file: small.manifest},
      ...[image.index, image.manifest, small.manifest].map((file) => ({reference: file.digest, file})),
    ],
  };
}

async function makeImage(folder: string, layers: readonly BlobFile[]): Promise<ImageFiles> {
  const configText = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: {Env: ['PATH=/usr/bin'], Labels: {filler: 'x'.repeat(3 * KIB)}},
    rootfs: {type: 'layers', diff_ids: layers.map(({digest}) => digest)},
  });
  const config = await writeDocument(folder, 'config', configText);
  const manifest = await writeManifest(folder, 'manifest', MANIFEST_TYPE, {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: descriptor(CONFIG_TYPE, config),
    layers: layers.map((layer) => descriptor(LAYER_TYPE, layer)),
  });
  const platform = {architecture: 'amd64', os: 'linux'};
  const index = await writeManifest(folder, 'index', INDEX_TYPE, {
    schemaVersion: 2,
    mediaType: INDEX_TYPE,
    manifests: [{...descriptor(MANIFEST_TYPE, manifest), platform}],
  });
  return {tag: 'latest', index, manifest, config, layers};
}

async function makeSmallManifest(folder: string, image: ImageFiles): Promise<ManifestFile> {
  const draft = {
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: descriptor(CONFIG_TYPE, image.config),
    layers: image.layers.slice(0, 4).map((layer) => descriptor(LAYER_TYPE, layer)),
    annotations: {filler: ''},
  };
  draft.annotations.filler = 'x'.repeat(SMALL_MANIFEST_BYTES - JSON.stringify(draft).length);
  return writeManifest(folder, 'small-manifest', MANIFEST_TYPE, draft);
}

function descriptor(mediaType: string, {digest, sizeBytes}: BlobFile): object {
  return {mediaType, digest, size: sizeBytes};
}

async function writeManifest(folder: string, name: string, mediaType: string, content: object): Promise<ManifestFile> {
  return {...(await writeDocument(folder, name, JSON.stringify(content))), mediaType};
}

async function writeDocument(folder: string, name: string, text: string): Promise<BlobFile> {
  const bytes = Buffer.from(text);
  const digest: Digest = digestOf(bytes);
  const path = join(folder, `${name}-${splitDigest(digest).hex.slice(0, 12)}`);
  await writeFile(path, bytes);
  return {path, digest, sizeBytes: bytes.length};
}
