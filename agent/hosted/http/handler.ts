import {IntegrityError, OciError} from '../../../oci/error.ts';
import type {HostedRequest} from '../../../oci/hosted-request.ts';
import {answerPing} from '../../http/registry.ts';
import {StoreFullError} from '../../store/contract.ts';
import {neededFor} from '../needed.ts';
import type {HostedAsked, HostedHandler} from './asked.ts';
import {answerBlob, deleteBlob} from './blobs.ts';
import {answerCatalog, answerReferrers, answerTags} from './lists.ts';
import {answerManifest, deleteManifest, putManifest} from './manifests.ts';
import type {HostedParts} from './parts.ts';
import {answerUpload, appendUpload, cancelUpload, finishUpload, startUpload} from './uploads.ts';

type Kind = HostedRequest['kind'];
type Answer<K extends Kind> = (
  parts: HostedParts,
  asked: HostedAsked<Extract<HostedRequest, {kind: K}>>,
) => Promise<void>;
type Methods<K extends Kind> = Readonly<Record<string, Answer<K>>>;

/** What can be done with what; another method is 405. */
const METHODS: {readonly [K in Kind]: Methods<K>} = {
  ping: {GET: ping, HEAD: ping},
  catalog: {GET: answerCatalog, HEAD: answerCatalog},
  blob: {GET: answerBlob, HEAD: answerBlob, DELETE: deleteBlob},
  manifest: {GET: answerManifest, HEAD: answerManifest, PUT: putManifest, DELETE: deleteManifest},
  tag: {GET: answerManifest, HEAD: answerManifest, PUT: putManifest, DELETE: deleteManifest},
  tags: {GET: answerTags, HEAD: answerTags},
  referrers: {GET: answerReferrers, HEAD: answerReferrers},
  uploads: {POST: startUpload},
  upload: {GET: answerUpload, PATCH: appendUpload, PUT: finishUpload, DELETE: cancelUpload},
};

/** Answers everything of the distribution API for hosted repositories. */
export function newHostedHandler(parts: HostedParts): HostedHandler {
  return async (asked) => {
    const {req, res, request, caller} = asked;
    const methods = METHODS[request.kind] as Methods<Kind>; // the entry of its own kind
    const answer = methods[req.method ?? ''];
    if (answer === undefined) {
      res.setHeader('allow', Object.keys(methods).join(', '));
      throw new OciError('UNSUPPORTED', `${req.method ?? ''} is not for this`);
    }
    const needed = neededFor(req.method ?? '', request);
    if (needed !== undefined && !caller.may(needed.action, needed.repository))
      throw new OciError('DENIED', `You may not ${needed.action} here`);
    try {
      await answer(parts, asked);
    } catch (error) {
      throw told(error);
    }
  };
}

function ping(_: HostedParts, {res, exchange}: HostedAsked): Promise<void> {
  answerPing(res, exchange);
  return Promise.resolve();
}

/** Codes of a disk that has no room, and of one that cannot be used. */
const FULL = new Set(['ENOSPC', 'EDQUOT']);
const BROKEN = new Set(['EIO', 'EROFS', 'EACCES', 'EPERM']);

/** What the client is told of what went wrong below. */
function told(error: unknown): unknown {
  if (error instanceof IntegrityError) return new OciError('DIGEST_INVALID', error.message, {cause: error});
  const {code = ''} = error as NodeJS.ErrnoException;
  if (FULL.has(code) || error instanceof StoreFullError)
    return new OciError('STORAGE_FULL', 'The disk of this registry is full: free some space, or push elsewhere', {
      cause: error,
    });
  if (BROKEN.has(code))
    return new OciError('UNAVAILABLE', `The disk of this registry fails (${code}): try again, and tell who runs it`, {
      cause: error,
    });
  return error;
}
