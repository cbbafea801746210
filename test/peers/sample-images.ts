import {readFile} from 'node:fs/promises';
import type {Compression, ImageSpec, LayerSpec} from './image.ts';

/** A layer of `sizeBytes` that no compression makes smaller. Another name gives other bytes. */
export function seededLayer(name: string, sizeBytes: number, compression: Compression = 'gzip'): LayerSpec {
  return {compression, entries: [{path: name, kind: 'seeded', sizeBytes}]};
}

/** An index of two platforms that share a base layer; the first is this machine's in all but speed. */
export function twoPlatforms(name: string, mediaTypes: 'oci' | 'docker', compression: Compression): ImageSpec {
  const base = seededLayer(`${name}-base`, 300_000, compression);
  return {
    mediaTypes,
    platforms: (['amd64', 'arm64'] as const).map((architecture) => ({
      architecture,
      layers: [base, seededLayer(`${name}-${architecture}`, 100_000, compression)],
    })),
  };
}

/** An image that runs anywhere: Debian's static busybox and nothing else. @param greeting what its command prints. */
export async function busyboxImage(greeting: string, compression: Compression = 'gzip'): Promise<ImageSpec> {
  const body = await readFile('/bin/busybox');
  const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const layer: LayerSpec = {
    compression,
    entries: [
      {path: 'bin', kind: 'folder'},
      {path: 'bin/busybox', kind: 'file', body, mode: 0o755},
      ...['sh', 'echo', 'true', 'cat'].map((name) => ({path: `bin/${name}`, kind: 'link', target: 'busybox'}) as const),
      {path: 'greeting', kind: 'file', body: Buffer.from(`${greeting}\n`)},
    ],
  };
  return {mediaTypes: 'oci', command: ['/bin/cat', '/greeting'], platforms: [{architecture, layers: [layer]}]};
}
