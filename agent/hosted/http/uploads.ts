import type {OutgoingHttpHeaders} from 'node:http';
import type {Digest} from '../../../oci/digest.ts';
import {IntegrityError, OciError} from '../../../oci/error.ts';
import type {HostedRequest} from '../../../oci/hosted-request.ts';
import {NarrowTokenError} from '../../access/caller.ts';
import type {UploadRecord} from '../contract.ts';
import {mountAny} from '../push.ts';
import type {OpenUpload} from '../sessions.ts';
import type {HostedAsked} from './asked.ts';
import {readBody, refuseLarge, tooLarge} from './body.ts';
import {commonHead} from './head.ts';
import type {HostedParts} from './parts.ts';

type AskedStart = HostedAsked<Extract<HostedRequest, {kind: 'uploads'}>>;
type AskedUpload = HostedAsked<Extract<HostedRequest, {kind: 'upload'}>>;

/** The specification's form, and the one of ranges elsewhere. */
const CONTENT_RANGE = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d{1,16}|\*))?$/;
const MAX_HOLDERS = 100;

/** POST: begins an upload, or takes a whole blob, or mounts one (end-4, end-11). */
export async function startUpload(parts: HostedParts, asked: AskedStart): Promise<void> {
  const {request, caller, exchange} = asked;
  const {repository, mount, from, digest, algorithm} = request;
  if (mount !== undefined) {
    if (await mountAny(parts.driver, {repository, caller}, mount, from)) {
      exchange.stored = {digest: mount, sizeBytes: (await parts.driver.content.stat(mount)) ?? 0};
      return sendCreated(asked, mount);
    }
    const elsewhere = from === undefined ? await parts.driver.metadata.holders(mount, MAX_HOLDERS) : [from];
    const narrow = elsewhere.find((one) => caller.couldPull?.(one) === true && !caller.may('pull', one));
    if (narrow !== undefined) throw new NarrowTokenError(narrow);
  }
  if (digest !== undefined) refuseLarge(asked.req, parts.limits().maxBlobBytes, 'blob');
  const record = await parts.sessions.begin(repository, caller, algorithm);
  if (digest === undefined) return sendAccepted(asked, record, 0, 202);
  await finish(parts, asked, record, digest);
}

/** PATCH: appends to an upload (end-5). */
export async function appendUpload(parts: HostedParts, asked: AskedUpload): Promise<void> {
  const record = await findUpload(parts, asked);
  const bytes = await parts.sessions.at(record, async (upload) => {
    await append(parts, asked, upload);
    return upload.bytes.offset;
  });
  sendAccepted(asked, record, bytes, 202);
}

/** PUT: the end of an upload, with or without the last of its bytes (end-6). */
export async function finishUpload(parts: HostedParts, asked: AskedUpload): Promise<void> {
  const record = await findUpload(parts, asked);
  const {digest} = asked.request;
  if (digest === undefined)
    throw new OciError('DIGEST_INVALID', 'The parameter digest is missing: it says what the upload is to be');
  await finish(parts, asked, record, digest);
}

/** GET of an upload: how far it is. */
export async function answerUpload(parts: HostedParts, asked: AskedUpload): Promise<void> {
  const record = await findUpload(parts, asked);
  const state = await parts.driver.content.uploadState(record.id);
  sendAccepted(asked, record, state?.bytes ?? 0, 204);
}

/** DELETE of an upload. */
export async function cancelUpload(parts: HostedParts, asked: AskedUpload): Promise<void> {
  const record = await findUpload(parts, asked);
  await parts.sessions.cancel(record);
  asked.exchange.result = 'hit';
  asked.res.writeHead(204, commonHead(asked.request)).end();
}

async function findUpload({sessions}: HostedParts, {request, caller}: AskedUpload): Promise<UploadRecord> {
  return await sessions.find(request.id, request.repository, caller);
}

/** Takes what the body holds and makes the upload a blob of the repository. */
async function finish(
  parts: HostedParts,
  asked: AskedStart | AskedUpload,
  record: UploadRecord,
  digest: Digest,
): Promise<void> {
  const {driver, sessions} = parts;
  const {exchange, caller} = asked;
  const {repository} = record;
  await sessions.at(record, async (upload) => {
    if (asked.request.kind === 'uploads') upload.over(); // a session that nobody was told of
    await append(parts, asked, upload);
    const holders = await driver.metadata.holders(digest, MAX_HOLDERS);
    const mayTell = holders.some((holder) => caller.may('pull', holder));
    const letGo = await upload.bytes.commit(digest, mayTell).catch((error: unknown) => {
      if (error instanceof IntegrityError) upload.over(); // wrong bytes are of no use
      throw error;
    });
    try {
      await driver.metadata.addLink(repository, digest, caller.identity);
      upload.over();
      exchange.stored = {digest, sizeBytes: upload.bytes.offset};
    } finally {
      letGo();
    }
  });
  sendCreated(asked, digest);
}

/** Appends the body. @throws {OciError} RANGE_INVALID if it does not begin where the upload ends; then nothing is taken. */
async function append(
  {limits}: HostedParts,
  {req, res, request}: AskedStart | AskedUpload,
  {record, bytes, signal, progressed}: OpenUpload,
): Promise<void> {
  const start = bytes.offset;
  const {maxBlobBytes} = limits();
  const length = req.headers['content-length'];
  const range = req.headers['content-range'];
  const expected = range === undefined ? undefined : lengthOfRange(range, start);
  // Where it stands is what a client needs to go on after any of the refusals below.
  if (range !== undefined) for (const [name, value] of standing(request, record, start)) res.setHeader(name, value);
  if (expected === undefined && range !== undefined)
    throw new OciError('RANGE_INVALID', `The upload has ${start} bytes: the next byte it needs is ${start}`);
  if (expected !== undefined && length !== undefined && Number(length) !== expected)
    throw new OciError('SIZE_INVALID', `Content-Length ${length} is not what Content-Range says`);
  refuseLarge(req, maxBlobBytes - start, 'blob');
  await readBody(
    req,
    async (chunks) => {
      progressed();
      const count = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
      if (bytes.offset + count > maxBlobBytes) {
        await bytes.rewind(0);
        throw tooLarge(maxBlobBytes, 'blob');
      }
      await bytes.append(chunks);
    },
    signal,
  );
  const came = bytes.offset - start;
  if (expected !== undefined && came !== expected) {
    await bytes.rewind(start);
    throw new OciError('SIZE_INVALID', `${came} bytes came where Content-Range says ${expected}`);
  }
  for (const name of ['location', 'range', 'docker-upload-uuid']) res.removeHeader(name);
}

/** @returns how many bytes the range has; `undefined` if it does not begin at `start`, or is none. */
function lengthOfRange(range: string, start: number): number | undefined {
  const [, first, last] = CONTENT_RANGE.exec(range.trim()) ?? [];
  if (first === undefined || Number(first) !== start || Number(last) < start) return undefined;
  return Number(last) - start + 1;
}

function standing(request: HostedRequest, {id, repository}: UploadRecord, bytes: number): [string, string][] {
  const ns = 'ns' in request && request.ns !== undefined ? `?ns=${encodeURIComponent(request.ns)}` : '';
  return [
    ['location', `/v2/${repository}/blobs/uploads/${id}${ns}`],
    ['range', `0-${Math.max(0, bytes - 1)}`],
    ['docker-upload-uuid', id],
  ];
}

function sendAccepted(asked: AskedStart | AskedUpload, record: UploadRecord, bytes: number, status: 202 | 204): void {
  const {res, request, exchange} = asked;
  exchange.result = 'hit';
  const head: OutgoingHttpHeaders = {
    ...commonHead(request),
    ...Object.fromEntries(standing(request, record, bytes)),
    ...(status === 202 ? {'content-length': 0} : {}),
  };
  res.writeHead(status, head).end();
}

function sendCreated({res, request, exchange}: AskedStart | AskedUpload, digest: Digest): void {
  exchange.result = 'hit';
  const location = `/v2/${request.repository}/blobs/${digest}`;
  const head = {...commonHead(request), location, 'docker-content-digest': digest, 'content-length': 0};
  res.writeHead(201, head).end();
}
