import type {IncomingMessage} from 'node:http';
import {z} from 'zod';
import {parseDuration} from '../../proc/config/duration.ts';
import {parseImage, type ImageReference} from '../../oci/reference.ts';
import {ApiError} from './error.ts';

/** The most that any question has: a few names. */
const MAX_BODY_BYTES = 16 * 1024;
/** A page of the list of images. */
const MAX_PAGE = 1000;

const imagesQuery = z.strictObject({
  after: z.string().max(1024).optional(),
  limit: z
    .string()
    .regex(/^[1-9]\d{0,3}$/)
    .transform(Number)
    .pipe(z.number().max(MAX_PAGE))
    .optional(),
  match: z.string().max(255).optional(),
});

const collectQuery = z.strictObject({
  untagged: z.string().max(32).optional(),
  dryRun: z.enum(['true', 'false']).optional(),
});

const refreshBody = z.strictObject({reference: z.string().max(1024)});

/** `os/architecture[/variant]`. */
const platform = z.string().regex(/^[a-z0-9]{1,32}\/[a-z0-9_]{1,32}(?:\/[a-z0-9._]{1,32})?$/);
const pullBody = z.strictObject({
  reference: z.string().max(1024),
  platforms: z.union([z.literal('all'), z.array(platform).min(1).max(32)]),
});

/** @throws {ApiError} 400 */
export function readImagesQuery(query: string): {
  readonly after?: string;
  readonly limit: number;
  readonly match?: string;
} {
  const {after, limit = 100, match} = check(imagesQuery, Object.fromEntries(new URLSearchParams(query)));
  return {limit, ...(after === undefined ? {} : {after}), ...(match === undefined ? {} : {match})};
}

/** @returns what is to go besides; `undefined`: nothing. @throws {ApiError} 400 */
export function readCollectQuery(query: string): {readonly olderThanMs: number; readonly dryRun: boolean} | undefined {
  const {untagged, dryRun} = check(collectQuery, Object.fromEntries(new URLSearchParams(query)));
  if (untagged === undefined) {
    if (dryRun === 'true') throw new ApiError(400, 'dryRun is of untagged manifests: say their age, e.g. untagged=30d');
    return undefined;
  }
  try {
    return {olderThanMs: parseDuration(untagged), dryRun: dryRun === 'true'};
  } catch {
    throw new ApiError(400, `untagged: expected an age such as 30d or 12h; got ${JSON.stringify(untagged)}`);
  }
}

/** @throws {ApiError} 400, 413 */
export async function readRefresh(
  req: IncomingMessage,
): Promise<{readonly image: ImageReference & {readonly tag: string}}> {
  const image = toImage(check(refreshBody, await readJson(req)).reference);
  const {tag, digest} = image;
  if (tag === undefined || digest !== undefined)
    throw new ApiError(400, 'A digest never changes: there is nothing to refresh');
  return {image: {...image, tag}};
}

/** @throws {ApiError} 400, 413 */
export async function readPull(
  req: IncomingMessage,
): Promise<{readonly image: ImageReference; readonly platforms: readonly string[] | 'all'}> {
  const {reference, platforms} = check(pullBody, await readJson(req));
  return {image: toImage(reference), platforms};
}

/** @throws {ApiError} 400 */
export function toImage(text: string): ImageReference {
  try {
    return parseImage(text);
  } catch (error) {
    throw new ApiError(400, error instanceof SyntaxError ? error.message : 'Not an image name', {cause: error});
  }
}

function check<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new ApiError(
    400,
    result.error.issues
      .map(({path, message}) => `${path.join('.')}: ${message}`.slice(0, 200))
      .slice(0, 5)
      .join('; '),
  );
}

async function readJson(req: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_BODY_BYTES) throw new ApiError(413, 'The question is too long');
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new ApiError(400, 'The question is not JSON');
  }
}
