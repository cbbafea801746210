import assert from 'node:assert/strict';
import {digestOf, type Digest} from '../oci/digest.ts';
import {OCI_MANIFEST} from '../oci/media-type.ts';
import {ALICE, type HostedRig, type User} from './hosted-rig.ts';

/** An image as it was pushed. */
export interface PushedImage {
  readonly digest: Digest;
  readonly manifest: Buffer;
  readonly blobs: readonly Buffer[];
}

const OCTETS = {'content-type': 'application/octet-stream'};

/** Pushes by the specification's words, a request at a time; the first answer that is not as it should be is an error. */
export class PushClient {
  readonly #registry: HostedRig;
  readonly #user: User;
  constructor(registry: HostedRig, user: User = ALICE) {
    this.#registry = registry;
    this.#user = user;
  }

  /** @param path after `/v2/`, or a Location. @throws {Error} unless it answers this. */
  async send(status: number, method: string, path: string, init: RequestInit = {}): Promise<Response> {
    const response = await this.#registry.send(this.#user, method, path.replace(/^\/v2\//, ''), init);
    if (response.status !== status)
      throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`, {cause: response.status});
    return response;
  }

  /** By POST and PUT, or with PATCHes of so many bytes in between. */
  async blob(repository: string, bytes: Buffer, chunkBytes?: number): Promise<Digest> {
    const digest = digestOf(bytes);
    const begun = await this.send(202, 'POST', `${repository}/blobs/uploads/`);
    let location = begun.headers.get('location') ?? '';
    let at = 0;
    for (; chunkBytes !== undefined && at < bytes.length; at += chunkBytes) {
      const body = bytes.subarray(at, at + chunkBytes);
      const headers = {...OCTETS, 'content-range': `${at}-${at + body.length - 1}`};
      location = (await this.send(202, 'PATCH', location, {body, headers})).headers.get('location') ?? '';
    }
    const rest = bytes.subarray(Math.min(at, bytes.length));
    await this.send(201, 'PUT', `${location}?digest=${digest}`, {body: rest, headers: OCTETS});
    return digest;
  }

  async manifest(repository: string, reference: string | undefined, body: object): Promise<PushedImage> {
    const manifest = Buffer.from(JSON.stringify({schemaVersion: 2, mediaType: OCI_MANIFEST, ...body}));
    const digest = digestOf(manifest);
    const headers = {'content-type': OCI_MANIFEST};
    await this.send(201, 'PUT', `${repository}/manifests/${reference ?? digest}`, {body: manifest, headers});
    return {digest, manifest, blobs: []};
  }

  /** All of an image: the first of its blobs is its config. */
  async image(
    repository: string,
    tag: string | undefined,
    blobs: readonly [Buffer, ...Buffer[]],
    options: {readonly chunkBytes?: number; readonly more?: object} = {},
  ): Promise<PushedImage> {
    for (const bytes of blobs) await this.blob(repository, bytes, options.chunkBytes);
    const [config, ...layers] = blobs.map(describe);
    return {...(await this.manifest(repository, tag, {config, layers, ...options.more})), blobs};
  }

  /** All of an image is there, to the byte. */
  async assertPulls(repository: string, reference: string, image: PushedImage): Promise<void> {
    const manifest = await this.send(200, 'GET', `${repository}/manifests/${reference}`);
    assert.deepEqual(Buffer.from(await manifest.arrayBuffer()), image.manifest);
    for (const bytes of image.blobs) {
      const blob = await this.send(200, 'GET', `${repository}/blobs/${digestOf(bytes)}`);
      assert.equal(digestOf(Buffer.from(await blob.arrayBuffer())), digestOf(bytes));
    }
  }
}

export function describe(bytes: Buffer): object {
  return {mediaType: 'application/vnd.example', digest: digestOf(bytes), size: bytes.length};
}

/** The code of an error's answer, which says in words what is wrong, too. */
export async function codeOf(response: Response): Promise<string | undefined> {
  const {errors} = (await response.json()) as {errors: {code: string; message: string}[]};
  assert.ok((errors[0]?.message ?? '').length > 10);
  return errors[0]?.code;
}
