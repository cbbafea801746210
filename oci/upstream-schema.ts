import {z} from 'zod';
import {duration, file, flag, parsed, strict, wholeNumber} from '../proc/config/schema-parts.ts';
import {parseRegistry} from './reference.ts';
import {parseUpstreamHost} from './upstream-host.ts';
import {parseUpstreamUrl} from './upstream-url.ts';

const url = (description: string) =>
  parsed('an http:// or https:// URL without user, query or /v2, such as https://mirror.example', parseUpstreamUrl, {
    description,
  });

const credentials = strict(
  {
    username: z
      .string({error: 'expected a user name'})
      .min(1, 'expected a user name')
      .meta({description: 'With `passwordFile`'})
      .optional(),
    passwordFile: file('A file with the password or token').optional(),
    dockerConfigFile: file('A docker `config.json`, or a `dockerconfigjson` Secret as a file').optional(),
    credentialHelper: z
      .string({error: 'expected a name or path'})
      .regex(
        /^(?:[A-Za-z0-9][A-Za-z0-9._-]{0,63}|\/\P{Cc}+)$/u,
        'expected the name after docker-credential-, or an absolute path',
      )
      .meta({description: 'The name after `docker-credential-`, or an absolute path', examples: ['ecr-login']})
      .optional(),
    realms: z
      .array(parsed('a host name such as sso.example.com', parseRegistry, {description: 'A host name'}), {
        error: 'expected a list of host names',
      })
      .max(16, 'expected 16 at most')
      .meta({description: 'Hosts in other domains that may be sent these credentials for a token', shown: []})
      .optional(),
  },
  'How the agent proves who it is: `username` with `passwordFile`, or `dockerConfigFile`, or `credentialHelper`',
);

const tls = strict(
  {
    caFile: file("PEM certificates to trust for this upstream, besides the system's").optional(),
    certFile: file('A PEM client certificate; with `keyFile`').optional(),
    keyFile: file('Its key').optional(),
    insecureSkipVerify: flag({
      description: "Does not check the upstream's certificate: anybody on the way can read credentials and change tags",
    }).optional(),
  },
  'TLS towards this upstream and its mirrors',
);

const staleFor = (what: string, shown: string) => duration({description: `…${what}`, shown}).optional();
const staleIfError = strict(
  {
    down: staleFor('when it cannot be reached', '30d'),
    timeout: staleFor('when it does not answer in time', '30d'),
    tooManyRequests: staleFor('when it answers 429', '30d'),
    serverError: staleFor('when it answers 5xx', '30d'),
    notFound: staleFor('when it says that the tag is gone', '0s'),
  },
  'For how long after its last confirmation a tag is served although the upstream…',
);

const upstream = strict(
  {
    host: parsed('a registry such as ghcr.io, registry.example:5000/team or "*"', parseUpstreamHost, {
      description:
        'As clients name it: `host[:port][/path-prefix]`, the longest prefix wins. `*`: what the others take where they say nothing',
      examples: ['ghcr.io'],
    }),
    url: url(
      'Where it is, if not at `https://<host>`. `http://`, private and loopback addresses are allowed when said here',
    ).optional(),
    mirrors: z
      .array(url('A base URL'), {error: 'expected a list of URLs'})
      .max(16, 'expected 16 at most')
      .meta({description: 'Tried first, in this order', shown: []})
      .optional(),
    credentials: credentials.optional(),
    tls: tls.optional(),
    freshFor: duration({
      description: 'For how long a tag is served without asking the upstream again',
      shown: '30s',
    }).optional(),
    staleIfError: staleIfError.optional(),
    maxConnections: wholeNumber(1, 1024, {description: 'Connections to it at the same time', shown: 32}).optional(),
    offline: flag({description: 'Never asks it: serves what is in the cache'}).optional(),
    cache: z
      .enum(['always', 'never'], {error: 'expected always or never'})
      .meta({description: '`never`: passes everything through and keeps nothing', shown: 'always'})
      .optional(),
  },
  'A registry that needs more than its name',
);

/** Hundreds are plausible (a prefix each); more is a mistake, and every entry costs pools. */
const MAX_UPSTREAMS = 1000;

/** The section `upstreams` of a configuration file: the agent and the webhook have the same. */
export const upstreamsSchema = z
  .array(upstream, {error: 'expected a list of upstreams'})
  .max(MAX_UPSTREAMS, `expected ${String(MAX_UPSTREAMS)} at most`)
  .meta({
    description: 'Registries that need credentials, mirrors or limits; any public registry works without',
    shown: [],
  });

/** An entry as the schema gives it: what was not said is absent. */
export type SaidUpstream = z.output<typeof upstreamsSchema>[number];
