import {openAsBlob} from 'node:fs';
import {readFile} from 'node:fs/promises';
import type {BlobFile} from './blob-file.ts';
import type {Dataset} from './dataset.ts';

/** Pushes the data set to a registry that takes pushes without credentials. @see distribution-spec v1.1.1, Pushing */
export async function pushDataset({repository, blobs, manifests}: Dataset, url: string): Promise<void> {
  for (const blob of blobs) await pushBlob(`${url}/v2/${repository}`, blob);
  // By digest first: an index may only be pushed after what it refers to.
  for (const {reference, file} of manifests.toSorted((a, b) => depth(a.file.mediaType) - depth(b.file.mediaType))) {
    const body = await readFile(file.path);
    const headers = {'content-type': file.mediaType};
    await expectDone(await fetch(`${url}/v2/${repository}/manifests/${reference}`, {method: 'PUT', headers, body}));
  }
}

function depth(mediaType: string): number {
  return mediaType.includes('index') ? 1 : 0;
}

async function pushBlob(base: string, {digest, path}: BlobFile): Promise<void> {
  const there = await fetch(`${base}/blobs/${digest}`, {method: 'HEAD'});
  if (there.ok) return;
  const begun = await fetch(`${base}/blobs/uploads/`, {method: 'POST'});
  await expectDone(begun);
  const target = new URL(begun.headers.get('location') ?? '', begun.url);
  target.searchParams.set('digest', digest);
  const headers = {'content-type': 'application/octet-stream'};
  await expectDone(await fetch(target, {method: 'PUT', headers, body: await openAsBlob(path)}));
}

async function expectDone(response: Response): Promise<void> {
  const text = await response.text();
  if (!response.ok) throw new Error(`push: ${response.status} ${text.slice(0, 200)}`);
}
