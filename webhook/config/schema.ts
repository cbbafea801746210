import {z} from 'zod';
import {parseNodeEndpoint, parsePrefix} from '../../oci/name-map.ts';
import {upstreamsSchema} from '../../oci/upstream-schema.ts';
import {address, duration, file, flag, logSection, parsed, strict} from '../../proc/config/schema-parts.ts';
import {parseWebhookUrl} from './url.ts';

const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const GLOB = /^(?=.{1,63}$)[a-z0-9*](?:[a-z0-9*-]*[a-z0-9*])?$/;
const OWNER = /^[A-Z][A-Za-z0-9]{0,62}\.[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;

const named = (expected: string, grammar: RegExp, about: {description: string; shown?: unknown}) =>
  z
    .string({error: `expected ${expected}`})
    .regex(grammar, `expected ${expected}`)
    .meta({...about});

const namespaces = (description: string) =>
  z
    .array(named('the name of a namespace such as team-a or team-*', GLOB, {description: 'A namespace, with `*`'}), {
      error: 'expected a list of namespaces',
    })
    .max(1000, 'expected 1000 at most')
    .meta({description, shown: []});

const pin = strict(
  {
    enabled: flag({
      description: 'Pins the images of pods: `name:tag` becomes `name:tag@sha256:…`',
      shown: true,
    }).optional(),
    namespaces: namespaces(
      'Where the pods of every controller are pinned; elsewhere only bare pods and those of the built-in controllers, because an operator that compares its pods with its template would replace them for ever',
    ).optional(),
    owners: z
      .array(
        named('a kind with its group such as Rollout.argoproj.io', OWNER, {description: 'A kind with its group'}),
        {error: 'expected a list of kinds'},
      )
      .max(100, 'expected 100 at most')
      .meta({description: 'Controllers whose pods are pinned besides, such as `Rollout.argoproj.io`', shown: []})
      .optional(),
    pullSecrets: namespaces(
      "Where the pull secrets of pods are used to resolve their images. The webhook's service account needs the right to get secrets there (docs/webhook.md)",
    ).optional(),
  },
  'Which images are pinned to their digests',
);

const NAMES = 'a registry, with a path or without, such as docker.io or registry.example/hub';
const rewrite = strict(
  {
    mode: z
      .enum(['none', 'node', 'prefixes'], {error: 'expected none, node or prefixes'})
      .meta({
        description:
          '`none`: names stay, runtimes find the agent by their mirror configuration. `node`: to the agent of the node, which takes the fallback to the registry away from the runtime. `prefixes`: to other registries',
        shown: 'none',
      })
      .optional(),
    endpoint: parsed('a loopback address with a port such as localhost:5055', parseNodeEndpoint, {
      description: 'Of the agents, as it is written in pods. Judged by what follows it, whatever the mode',
      shown: 'localhost:5055',
    }).optional(),
    prefixes: z
      .array(
        strict(
          {
            from: parsed(NAMES, parsePrefix, {description: 'Images under this name…'}),
            to: parsed(NAMES, parsePrefix, {description: '…are pulled from under this one'}),
          },
          'A relocation',
        ),
        {error: 'expected a list such as [{from: docker.io, to: registry.example/hub}]'},
      )
      .max(100, 'expected 100 at most')
      .meta({description: 'For `prefixes`', shown: []})
      .optional(),
  },
  'What images are called in pods. Policies judge what they are called before',
);

const certificates = strict(
  {
    certFile: file('A PEM certificate with its chain, of cert-manager for one; with `keyFile` and `caFile`').optional(),
    keyFile: file('Its key').optional(),
    caFile: file('The CA that the API server is told to trust').optional(),
    lifetime: duration({
      description: "How long a certificate of the webhook's own CA is good for",
      shown: '90d',
    }).optional(),
  },
  'How the API server knows the webhook: by a CA of its own, or by given files',
);

/** What a configuration file of `noost webhook` may hold, every key optional: flags and variables are read by the same schema. */
export const webhookSchema = strict(
  {
    listen: address({description: 'Where the API server calls', shown: '0.0.0.0:10250'}).optional(),
    adminListen: address({description: 'Where metrics and health are served', shown: '127.0.0.1:5058'}).optional(),
    kubeconfig: file('How to reach the API server from outside a cluster').optional(),
    url: parsed('an https:// URL without user or query, such as https://127.0.0.1:10250', parseWebhookUrl, {
      description: 'Where the API server finds the webhook outside a cluster; otherwise it is the Service',
    }).optional(),
    service: named('the name of a Service', NAME, {
      description: 'The Service that the API server finds the webhook by, in its namespace',
      shown: 'noost-webhook',
    }).optional(),
    namespace: named('the name of a namespace', NAME, {
      description: "The webhook's own namespace, which it never blocks. In a pod it is known",
      shown: 'noost-system',
    }).optional(),
    failurePolicy: z
      .enum(['Fail', 'Ignore'], {error: 'expected Fail or Ignore'})
      .meta({
        description: 'What becomes of pods when no webhook answers, once enough of them are ready',
        shown: 'Fail',
      })
      .optional(),
    pin: pin.optional(),
    rewrite: rewrite.optional(),
    certificates: certificates.optional(),
    allowPrivateUpstreams: flag({
      description: 'Lets pods name registries at private addresses that are not under `upstreams`',
    }).optional(),
    upstreams: upstreamsSchema.optional(),
    log: logSection.optional(),
    drain: duration({description: 'How long reviews may go on after SIGTERM', shown: '25s'}).optional(),
  },
  'Configuration of noost webhook',
);

/** What the schema makes of a file, flags and variables together. */
export type WebhookSettings = z.output<typeof webhookSchema>;
