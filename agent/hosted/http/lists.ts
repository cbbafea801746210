import {OciError} from '../../../oci/error.ts';
import {MAX_PAGE, type HostedRequest, type PageAsk} from '../../../oci/hosted-request.ts';
import {OCI_INDEX} from '../../../oci/media-type.ts';
import {annotationsOf} from '../manifest-body.ts';
import type {HostedAsked} from './asked.ts';
import {commonHead} from './head.ts';
import type {HostedParts} from './parts.ts';

type Asked<K extends HostedRequest['kind']> = HostedAsked<Extract<HostedRequest, {kind: K}>>;

/** Of the list of repositories, where nothing is said. */
const CATALOG_PAGE = 100;
/** A list of referrers holds all their annotations: it ends early rather than become larger. */
const MAX_LIST_BYTES = 3 << 20;

/** A part of a list, and the entry after which it goes on. */
interface Part<T> {
  readonly entries: readonly T[];
  readonly next: string | undefined;
}

/** GET of the tags of a repository (end-8). */
export async function answerTags({driver}: HostedParts, asked: Asked<'tags'>): Promise<void> {
  const {repository, page} = asked.request;
  if (!(await driver.metadata.hasRepository(repository)))
    throw new OciError('NAME_UNKNOWN', 'There is no such repository');
  const {entries, next} = await collect(page, MAX_PAGE, (after, limit) =>
    driver.metadata.tags(repository, {after, limit}),
  );
  const path = `/v2/${repository}/tags/list`;
  sendList(asked, {name: repository, tags: entries}, linkTo(path, asked.request, next));
}

/** GET of the repositories that the caller may pull from. */
export async function answerCatalog({driver}: HostedParts, asked: Asked<'catalog'>): Promise<void> {
  const {entries, next} = await collect(
    asked.request.page,
    CATALOG_PAGE,
    (after, limit) => driver.metadata.repositories({after, limit}),
    (repository) => asked.caller.may('pull', repository),
  );
  sendList(asked, {repositories: entries}, linkTo('/v2/_catalog', asked.request, next));
}

/** GET of what refers to a manifest (end-12): 200 and an empty list where there is nothing. */
export async function answerReferrers(parts: HostedParts, asked: Asked<'referrers'>): Promise<void> {
  const {repository, digest: subject, artifactType, page} = asked.request;
  const wanted = Math.min(page.n ?? MAX_PAGE, MAX_PAGE);
  const manifests: object[] = [];
  let [bytes, last] = [0, page.last];
  let next: string | undefined;
  outer: for (let isMore = wanted > 0; isMore;) {
    const records = await parts.driver.metadata.referrers(repository, subject, {after: last, limit: MAX_PAGE});
    isMore = records.length === MAX_PAGE;
    for (const record of records) {
      if (artifactType !== undefined && record.artifactType !== artifactType) continue;
      const body = manifests.length < wanted ? await parts.manifests.read(record.digest, record.sizeBytes) : undefined;
      const {digest, mediaType, sizeBytes: size} = record;
      const annotations = body && annotationsOf(body);
      const entry = {mediaType, digest, size, artifactType: record.artifactType, annotations};
      bytes += JSON.stringify(entry).length;
      if (manifests.length === wanted || (manifests.length > 0 && bytes > MAX_LIST_BYTES)) {
        next = last;
        break outer;
      }
      last = digest;
      if (body === undefined) continue;
      manifests.push(entry);
    }
    last = records.at(-1)?.digest ?? last;
  }
  const filtered = artifactType === undefined ? {} : {'oci-filters-applied': 'artifactType'};
  const more = artifactType === undefined ? {} : {artifactType};
  const link = linkTo(`/v2/${repository}/referrers/${subject}`, asked.request, next, more);
  const body = {schemaVersion: 2, mediaType: OCI_INDEX, manifests};
  sendList(asked, body, {...link, ...filtered, 'content-type': OCI_INDEX});
}

/** As many entries as are wanted; one more is looked for, which tells whether there is more. */
async function collect(
  {n, last}: PageAsk,
  most: number,
  list: (after: string, limit: number) => Promise<readonly string[]>,
  isShown: (entry: string) => boolean = () => true,
): Promise<Part<string>> {
  const wanted = n ?? most;
  if (wanted === 0) return {entries: [], next: undefined};
  const entries: string[] = [];
  for (let after = last; ;) {
    const some = await list(after, wanted + 1);
    for (const entry of some.filter(isShown)) {
      if (entries.length === wanted) return {entries, next: entries.at(-1)};
      entries.push(entry);
    }
    after = some.at(-1) ?? '';
    if (some.length <= wanted) return {entries, next: undefined};
  }
}

function linkTo(
  path: string,
  request: {readonly page: PageAsk; readonly ns?: string},
  next: string | undefined,
  more: Readonly<Record<string, string>> = {},
): Record<string, string> {
  if (next === undefined) return {};
  const query = new URLSearchParams(more);
  if (request.page.n !== undefined) query.set('n', String(request.page.n));
  query.set('last', next);
  if (request.ns !== undefined) query.set('ns', request.ns);
  return {link: `<${path}?${query.toString()}>; rel="next"`};
}

function sendList(
  {req, res, request, exchange}: HostedAsked,
  content: object,
  headers: Readonly<Record<string, string>>,
): void {
  exchange.result = 'hit';
  const body = Buffer.from(JSON.stringify(content));
  res.writeHead(200, {
    ...commonHead(request),
    'content-type': 'application/json',
    'cache-control': 'no-cache',
    ...headers,
    'content-length': body.length,
  });
  if (req.method === 'HEAD') return void res.end();
  exchange.sent(body.length);
  res.end(body);
}
