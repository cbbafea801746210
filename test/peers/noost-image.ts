import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {buildImage} from '../../image/image.ts';
import {makeBaseImages} from './base-image.ts';
import {run} from './run.ts';

export interface NoostImage {
  /** As `ctr images import` takes it. */
  readonly archive: string;
  /** As the manifests name it. */
  readonly name: string;
}

const ARCH = process.arch === 'x64' ? 'amd64' : process.arch;

/** Builds the image as `npm run image` does, on a base made here, and writes it into an archive in `folder`. */
export async function makeNoostImage(folder: string): Promise<NoostImage> {
  const storage = ['--root', `${folder}/images`, '--runroot', `${folder}/run`, '--storage-driver', 'overlay'];
  try {
    const {base, node} = await makeBaseImages(join(folder, 'base'), storage);
    const name = await imageInManifests();
    await buildImage({tag: name, arch: ARCH, base, node, storage});
    const archive = join(folder, 'noost.tar');
    await run('buildah', [...storage, 'push', '--quiet', name, `oci-archive:${archive}:${name}`]);
    return {archive, name};
  } finally {
    await run('umount', ['--recursive', `${folder}/images/overlay`]).catch(() => {}); // not mounted if it came to nothing
  }
}

/** Said in one place, manifests/version. */
async function imageInManifests(): Promise<string> {
  const text = await readFile(join(import.meta.dirname, '../../manifests/version/kustomization.yaml'), 'utf8');
  const [, name] = /newName: (\S+)/.exec(text) ?? [];
  const [, tag] = /newTag: (\S+)/.exec(text) ?? [];
  return `${name ?? ''}:${tag ?? ''}`;
}
