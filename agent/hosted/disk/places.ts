import {join} from 'node:path';
import type {Digest} from '../../../oci/digest.ts';
import {isRepository, isTag} from '../../../oci/reference.ts';
import type {Folder} from '../../store/folder.ts';
import {fileNameOf, folderNameOf} from '../../store/pins.ts';

const ID = /^[A-Za-z0-9_-]{1,128}$/;

/** Where the metadata of hosted images is. Names go into paths only after their grammar was checked once more (D-031). */
export class Places {
  readonly #folder: Folder;
  constructor(folder: Folder) {
    this.#folder = folder;
  }

  repository(repository: string): string {
    if (!isRepository(repository)) throw new TypeError('Not a repository name');
    return join(this.#folder.repositories, folderNameOf(repository));
  }
  links(repository: string): string {
    return join(this.repository(repository), 'blobs');
  }
  link(repository: string, digest: Digest): string {
    return join(this.links(repository), fileNameOf(digest));
  }
  manifests(repository: string): string {
    return join(this.repository(repository), 'manifests');
  }
  manifest(repository: string, digest: Digest): string {
    return join(this.manifests(repository), fileNameOf(digest));
  }
  /** Of all subjects. */
  subjects(repository: string): string {
    return join(this.repository(repository), 'referrers');
  }
  referrers(repository: string, subject: Digest): string {
    return join(this.subjects(repository), fileNameOf(subject));
  }
  /** Tags that there are; a file's name is the tag, whose grammar makes it a safe one. */
  tags(repository: string): string {
    return join(this.repository(repository), 'tags');
  }
  /** What is remembered of tags that are gone. */
  goneTags(repository: string): string {
    return join(this.repository(repository), 'gone-tags');
  }
  tag(folder: string, tag: string): string {
    if (!isTag(tag)) throw new TypeError('Not a tag');
    return join(folder, tag);
  }

  get uploads(): string {
    return this.#folder.uploads;
  }
  uploadRecord(id: string): string {
    return `${this.#upload(id)}.json`;
  }
  uploadBytes(id: string): string {
    return `${this.#upload(id)}.part`;
  }
  /** `undefined` for another file. */
  idOfBytes(name: string): string | undefined {
    const id = name.endsWith('.part') ? name.slice(0, -5) : '';
    return ID.test(id) ? id : undefined;
  }
  #upload(id: string): string {
    if (!ID.test(id)) throw new TypeError('Not an upload');
    return join(this.#folder.uploads, id);
  }
}
