import type {Digest} from '../../oci/digest.ts';
import type {Authority, RepositoryName} from '../../oci/source.ts';
import type {Link, TagRecord} from './contract.ts';
import type {Disk} from './disk.ts';

/** Links and tags: from memory where they were asked for lately, else from the index; an index that fails has none. */
export class Names {
  readonly #disk: Pick<Disk, 'index' | 'memory' | 'shelf'>;
  constructor(disk: Pick<Disk, 'index' | 'memory' | 'shelf'>) {
    this.#disk = disk;
  }

  async links(digest: Digest, name: RepositoryName | undefined): Promise<readonly Link[]> {
    const {index, memory, shelf} = this.#disk;
    const known = memory.links(digest, name);
    if (known !== undefined) return known;
    const {changes} = memory;
    try {
      const links = await index.ask('links', digest, name);
      if (memory.changes === changes) memory.keepLinks(digest, name, links);
      return links;
    } catch (error) {
      shelf.failed('index', error);
      return [];
    }
  }

  /** @throws {Error} if the index cannot take it. */
  async addLink(link: Link): Promise<void> {
    await this.#disk.index.ask('addLink', link);
    this.#disk.memory.addLink(link);
  }

  async tag(name: RepositoryName, tag: string, authority: Authority): Promise<TagRecord | undefined> {
    const {index, memory, shelf} = this.#disk;
    const known = memory.tag(name, tag, authority);
    if (known !== undefined) return known.record;
    const {changes} = memory;
    try {
      const record = await index.ask('tag', name, tag, authority);
      if (memory.changes === changes) memory.keepTag(name, tag, authority, record);
      return record;
    } catch (error) {
      shelf.failed('index', error);
      return undefined;
    }
  }

  /** @throws {Error} if the index cannot take it. */
  async putTag(record: TagRecord): Promise<void> {
    await this.#disk.index.ask('putTag', record);
    this.#disk.memory.putTag(record);
  }

  /** @throws {Error} if the index cannot take it. */
  async removeTag(name: RepositoryName, tag: string, authority: Authority): Promise<void> {
    await this.#disk.index.ask('removeTag', name, tag, authority);
    this.#disk.memory.removeTag(name, tag, authority);
  }
}
