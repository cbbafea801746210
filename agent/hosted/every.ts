import type {Metadata, TagState} from './contract.ts';

const PAGE = 1_000;

export async function* allRepositories(metadata: Metadata): AsyncGenerator<string> {
  for (let after = ''; ;) {
    const names = await metadata.repositories({after, limit: PAGE});
    yield* names;
    const last = names.at(-1);
    if (last === undefined || names.length < PAGE) return;
    after = last;
  }
}

/** What comes or goes meanwhile may be missing. */
export async function* allTags(metadata: Metadata, repository: string, from = ''): AsyncGenerator<TagState> {
  for (let after = from; ;) {
    const tags = await metadata.tags(repository, {after, limit: PAGE});
    for (const tag of tags) {
      const state = await metadata.tag(repository, tag);
      if (state !== undefined) yield state;
    }
    const last = tags.at(-1);
    if (last === undefined || tags.length < PAGE) return;
    after = last;
  }
}
