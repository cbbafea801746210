import type {Digest} from '../../../oci/digest.ts';
import {OciError} from '../../../oci/error.ts';
import type {HostedRequest} from '../../../oci/hosted-request.ts';
import {matchesEtag} from '../../http/range.ts';
import {pushManifest} from '../push.ts';
import {removeManifest, removeTag} from '../remove.ts';
import type {HostedAsked} from './asked.ts';
import {readSmallBody} from './body.ts';
import {commonHead, contentHead} from './head.ts';
import type {HostedParts} from './parts.ts';

type AskedManifest = HostedAsked<Extract<HostedRequest, {kind: 'manifest' | 'tag'}>>;

/** GET and HEAD of a manifest (end-3). */
export async function answerManifest({driver, manifests}: HostedParts, asked: AskedManifest): Promise<void> {
  const {req, res, request, exchange} = asked;
  const {repository} = request;
  const digest = request.kind === 'tag' ? await digestOfTag(driver.metadata, request) : request.digest;
  const record = await driver.metadata.manifest(repository, digest);
  const bytes = record === undefined ? undefined : await manifests.read(digest, record.sizeBytes);
  if (record === undefined || bytes === undefined)
    throw new OciError('MANIFEST_UNKNOWN', 'There is no such manifest in this repository');
  exchange.result = 'hit';
  const head = {...contentHead(request, digest, record.mediaType), 'cache-control': 'no-cache'};
  if (matchesEtag(req.headers['if-none-match'], digest)) return void res.writeHead(304, head).end();
  res.writeHead(200, {...head, 'content-length': bytes.length});
  if (req.method === 'HEAD') return void res.end();
  exchange.sent(bytes.length);
  res.end(bytes);
}

async function digestOfTag(
  metadata: HostedParts['driver']['metadata'],
  {repository, tag}: {readonly repository: string; readonly tag: string},
): Promise<Digest> {
  const state = await metadata.tag(repository, tag);
  if (state !== undefined) return state.digest;
  throw new OciError('MANIFEST_UNKNOWN', 'There is no such tag in this repository');
}

/** PUT of a manifest (end-7). */
export async function putManifest(parts: HostedParts, asked: AskedManifest): Promise<void> {
  const {req, res, request, caller, exchange} = asked;
  const {repository} = request;
  const bytes = await readSmallBody(req, parts.limits().maxManifestBytes, 'manifest');
  const {digest, sizeBytes, subject} = await pushManifest(parts.driver, parts.rules, {
    repository,
    digest: request.kind === 'manifest' ? request.digest : undefined,
    tags: request.kind === 'manifest' ? request.tags : [request.tag],
    bytes,
    contentType: req.headers['content-type'],
    caller,
  });
  exchange.result = 'hit';
  exchange.stored = {digest, sizeBytes};
  res
    .writeHead(201, {
      ...commonHead(request),
      location: `/v2/${repository}/manifests/${digest}`,
      'docker-content-digest': digest,
      'content-length': 0,
      ...(subject === undefined ? {} : {'oci-subject': subject}),
      ...(request.kind === 'manifest' && request.tags.length > 0 ? {'oci-tag': [...request.tags]} : {}),
    })
    .end();
}

/** DELETE of a manifest by digest, or of a tag (end-9). */
export async function deleteManifest({driver, rules}: HostedParts, asked: AskedManifest): Promise<void> {
  const {res, request, caller, exchange} = asked;
  const where = {repository: request.repository, caller};
  if (request.kind === 'tag') await removeTag(driver, rules, where, request.tag);
  else await removeManifest(driver, rules, where, request.digest);
  exchange.result = 'hit';
  res.writeHead(202, {...commonHead(request), 'content-length': 0}).end();
}
