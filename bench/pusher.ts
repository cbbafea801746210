import {randomBytes} from 'node:crypto';
import {Agent, request, type OutgoingHttpHeaders} from 'node:http';
import {digestOf} from '../oci/digest.ts';
import {OCI_MANIFEST} from '../oci/media-type.ts';
import type {BlobFile} from './blob-file.ts';
import type {Running} from './contestants/contestant.ts';
import type {LoadReport} from './generator.ts';
import {runCommand} from './run-command.ts';

const OCTETS = {'content-type': 'application/octet-stream'};

/** Pushes a blob by POST and PUT, the bytes by curl. */
export async function pushLarge(running: Running, repository: string, blob: BlobFile): Promise<LoadReport> {
  const client = new Client(running, 1);
  const begun = performance.now();
  const location = await client.begin(repository);
  await runCommand([
    'curl',
    '--silent',
    '--show-error',
    '--fail',
    '--header',
    'Expect:',
    ...running.headers.flatMap((header) => ['--header', header]),
    '--upload-file',
    blob.path,
    client.url(withDigest(location, blob.digest)),
  ]);
  const ms = performance.now() - begun;
  client.close();
  return reportOf([ms], blob.sizeBytes, ms / 1000);
}

/** Pushes so many images of one small blob, each with a tag, over so many connections at once. */
export async function pushSmall(running: Running, count: number, clients: number): Promise<LoadReport> {
  const client = new Client(running, clients);
  const latencies: number[] = [];
  let [left, bytes] = [count, 0];
  const begun = performance.now();
  await Promise.all(
    Array.from({length: clients}, async (_, own) => {
      while (left-- > 0) {
        const at = performance.now();
        bytes += await client.image(`small/app${String(own)}`, `v${String(left)}`);
        latencies.push(performance.now() - at);
      }
    }),
  );
  const seconds = (performance.now() - begun) / 1000;
  client.close();
  return reportOf(latencies, bytes, seconds);
}

/** Kept connections, and the credentials of the contestant. */
class Client {
  readonly #running: Running;
  readonly #agent: Agent;
  constructor(running: Running, connections: number) {
    this.#running = running;
    this.#agent = new Agent({keepAlive: true, maxSockets: connections});
  }

  url(location: string): string {
    return new URL(location, `http://${this.#running.host}:${this.#running.port}`).href;
  }

  async begin(repository: string): Promise<string> {
    return (await this.#send('POST', `/v2/${repository}/blobs/uploads/`, 202)) ?? '';
  }

  /** @returns bytes that were pushed. */
  async image(repository: string, tag: string): Promise<number> {
    const blob = randomBytes(2_000);
    const digest = digestOf(blob);
    await this.#send('PUT', withDigest(await this.begin(repository), digest), 201, blob, OCTETS);
    const config = {mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: blob.length};
    const manifest = Buffer.from(JSON.stringify({schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: []}));
    await this.#send('PUT', `/v2/${repository}/manifests/${tag}`, 201, manifest, {'content-type': OCI_MANIFEST});
    return blob.length + manifest.length;
  }

  close(): void {
    this.#agent.destroy();
  }

  /** @returns the Location. */
  async #send(
    method: string,
    location: string,
    expected: number,
    body: Buffer = Buffer.alloc(0),
    headers: OutgoingHttpHeaders = {},
  ): Promise<string | undefined> {
    const credentials = Object.fromEntries(this.#running.headers.map((header) => header.split(': ', 2)));
    return await new Promise((resolve, reject) => {
      const sent = request(this.url(location), {
        method,
        agent: this.#agent,
        headers: {...credentials, ...headers, 'content-length': body.length},
      });
      sent.once('error', reject);
      sent.once('response', (response) => {
        response.resume();
        response.once('error', reject);
        response.once('end', () => {
          if (response.statusCode === expected) resolve(response.headers.location);
          else reject(new Error(`${method} was answered with ${String(response.statusCode)}`));
        });
      });
      sent.end(body);
    });
  }
}

function withDigest(location: string, digest: string): string {
  return `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`;
}

function reportOf(latencies: readonly number[], bytes: number, seconds: number): LoadReport {
  const sorted = latencies.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  const mean = sorted.reduce((sum, one) => sum + one, 0) / Math.max(1, sorted.length);
  const latencyMs = {
    count: sorted.length,
    dropped: 0,
    mean,
    min: at(0),
    p50: at(0.5),
    p90: at(0.9),
    p99: at(0.99),
    p999: at(0.999),
    max: at(1),
  };
  return {
    requests: sorted.length,
    bytes,
    seconds,
    errors: 0,
    firstError: '',
    startSpreadMs: 0,
    cpuSeconds: 0,
    slowRequests: 0,
    slowBytes: 0,
    latencyMs,
    firstByteMs: latencyMs,
  };
}
