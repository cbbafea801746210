import type {IncomingMessage, ServerResponse} from 'node:http';
import {json as readJson} from 'node:stream/consumers';
import type {KubeClient} from '../kube/client.ts';
import type {KubeLog} from '../kube/log.ts';
import {listen, type Listening} from '../proc/listen.ts';
import type {Texts} from '../proc/config/text-layer.ts';
import {loadWebhookConfig} from '../webhook/config/load.ts';
import {Controller} from '../webhook/controller/controller.ts';
import {disarm} from '../webhook/controller/disarm.ts';
import {judge} from '../webhook/policy/judge.ts';
import {question, subject} from '../webhook/policy/rig.ts';
import {newReviewServer} from '../webhook/server.ts';
import {freePort} from './free-port.ts';
import {poll} from './poll.ts';

export interface ReplicaOptions {
  readonly client: KubeClient;
  readonly namespace: string;
  /** Where a second one finds the first: the API server calls one of them. @default a free port of its own */
  readonly port?: number;
  /** Found by its Service instead of a URL. */
  readonly behindService?: boolean;
  readonly settings?: Texts;
  /** Who removes the configurations at the end. @default `client` */
  readonly admin?: KubeClient;
}

/** One line of the log, as text. */
type Line = string;

/** A controller with a server that answers every review with yes: what is tested is who calls, whom, and how. */
export class Replica implements AsyncDisposable {
  readonly controller: Controller;
  readonly lines: Line[];
  /** Names of the paths of the reviews that came. */
  readonly reviews: string[];
  readonly url: string;
  readonly name: string;
  readonly #listening: Listening;
  readonly #options: ReplicaOptions;

  constructor(
    controller: Controller,
    parts: {
      readonly lines: Line[];
      readonly reviews: string[];
      readonly url: string;
      readonly name: string;
      readonly listening: Listening;
      readonly options: ReplicaOptions;
    },
  ) {
    this.controller = controller;
    this.lines = parts.lines;
    this.reviews = parts.reviews;
    this.url = parts.url;
    this.name = parts.name;
    this.#listening = parts.listening;
    this.#options = parts.options;
  }

  /** @throws {Error} saying why it is not. */
  async untilReady(timeoutMs = 30_000): Promise<void> {
    await poll(`${this.name} is ready`, () => this.controller.notReady === undefined, timeoutMs).catch(
      (error: unknown) => {
        throw new Error(`${this.controller.notReady ?? ''}\n${this.lines.join('\n')}`, {cause: error});
      },
    );
  }

  async untilLeading(): Promise<void> {
    await poll(`${this.name} leads`, () => this.controller.leading, 60_000);
  }

  /** What the policies of the moment say to one image of a pod. */
  verdict(image: string, namespace = 'team-a'): 'accept' | 'deny' | 'unknown' {
    const {policies} = this.controller;
    if (policies === undefined) return 'unknown';
    const asked = {subject: subject({namespace}), images: [question(image)]};
    return judge(policies, asked, Date.now()).allowed ? 'accept' : 'deny';
  }

  /** Ends it, and leaves its configurations. */
  async stop(): Promise<void> {
    await this.controller[Symbol.asyncDispose]();
    await this.#listening.drain(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    const {admin, client, namespace} = this.#options;
    await disarm({client: admin ?? client, namespace, name: this.name});
  }
}

/** Its configurations are named after its namespace: the tests of one cluster do not meet. */
export async function startReplica(options: ReplicaOptions): Promise<Replica> {
  const {client, namespace, behindService = false, settings = {}} = options;
  const port = options.port ?? (await freePort());
  const url = `https://127.0.0.1:${port}`;
  const name = settings['service'] === undefined ? `hook-${namespace}` : String(settings['service']);
  const flags = {namespace, service: name, ...(behindService ? {} : {url}), ...settings};
  const config = await loadWebhookConfig(flags, {});
  const lines: Line[] = [];
  const keep = (level: string) => (message: string, fields?: Readonly<Record<string, unknown>>) => {
    lines.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`);
  };
  const log: KubeLog = {debug: keep('debug'), info: keep('info'), warn: keep('warn')};
  const controller = new Controller({client, config, log});
  const reviews: string[] = [];
  const server = newReviewServer((request, response) => void allow(request, response, reviews));
  controller.attach(server);
  controller.start();
  // The port of one that was first is not ours: it only leads, or waits to.
  const listening = await listen(server, {host: '127.0.0.1', port: options.port === undefined ? port : 0});
  return new Replica(controller, {lines, reviews, url, name, listening, options});
}

async function allow(request: IncomingMessage, response: ServerResponse, reviews: string[]): Promise<void> {
  const {request: asked} = (await readJson(request)) as {request: {uid: string}};
  reviews.push(request.url?.split('?', 1)[0] ?? '');
  const answer = {uid: asked.uid, allowed: true};
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: answer}));
}
