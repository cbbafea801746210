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

/**
 * An image that runs here: Debian's static busybox and nothing else; with another platform beside it in an index.
 * @param greeting what its command prints.
 */
export async function busyboxImage(
  greeting: string,
  {mediaTypes = 'oci', compression = 'gzip'}: {mediaTypes?: 'oci' | 'docker'; compression?: Compression} = {},
): Promise<ImageSpec> {
  const body = await readFile('/bin/busybox');
  const layer: LayerSpec = {
    compression,
    entries: [
      {path: 'bin', kind: 'folder'},
      {path: 'bin/busybox', kind: 'file', body, mode: 0o755},
      ...['sh', 'echo', 'true', 'cat'].map((name) => ({path: `bin/${name}`, kind: 'link', target: 'busybox'}) as const),
      {path: 'greeting', kind: 'file', body: Buffer.from(`${greeting}\n`)},
    ],
  };
  const [here, elsewhere] = process.arch === 'arm64' ? (['arm64', 'amd64'] as const) : (['amd64', 'arm64'] as const);
  const platforms = [
    {architecture: here, layers: [layer]},
    {architecture: elsewhere, layers: [seededLayer(greeting, 50_000, compression)]},
  ];
  return {mediaTypes, command: ['/bin/cat', '/greeting'], platforms};
}
