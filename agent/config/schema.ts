import {z} from 'zod';
import {parseRegistry} from '../../oci/reference.ts';
import {didYouMean} from '../../proc/nearest.ts';
import {parseAddress} from './address.ts';
import {parseDuration} from './duration.ts';
import {parseSize} from './size.ts';
import {parseUpstreamHost} from './upstream-host.ts';
import {parseUpstreamUrl} from './upstream-url.ts';

/** What a key says of itself: for `--help`, docs/configuration.md and the JSON Schema. */
interface About {
  readonly description: string;
  /** As one would write it. Applied by `newAgentConfig`, not here: a flag must not be beaten by a file's default. */
  readonly shown?: unknown;
  readonly examples?: readonly unknown[];
}

/** A text with a grammar. Its failures all read `expected …`. */
function parsed<T>(expected: string, parse: (text: string) => T, about: About) {
  return z
    .string({error: `expected ${expected}`})
    .transform((text, context): T => {
      try {
        return parse(text);
      } catch {
        context.issues.push({code: 'custom', message: `expected ${expected}`, input: text});
        return z.NEVER;
      }
    })
    .meta({...about});
}

function strict<Shape extends z.core.$ZodShape>(shape: Shape, description: string) {
  return z
    .strictObject(shape, {
      error: (issue) => {
        if (issue.code !== 'unrecognized_keys') return 'expected an object (key: value)';
        return (issue.keys as string[]).map((key) => `unknown key${didYouMean(key, Object.keys(shape))}`).join('\n');
      },
    })
    .meta({description});
}

const duration = (about: About) => parsed('a duration such as 30s, 5m, 12h or 30d', parseDuration, about);

const flag = (about: About) =>
  z.boolean({error: 'expected true or false'}).meta({...about, shown: about.shown ?? false});

const file = (description: string) =>
  z.string({error: 'expected the path of a file'}).min(1, 'expected the path of a file').meta({description});

const address = (about: About) => parsed('an address such as 127.0.0.1:5055 or [::1]:5055', parseAddress, about);

const url = (description: string) =>
  parsed('an http:// or https:// URL without user, query or /v2, such as https://mirror.example', parseUpstreamUrl, {
    description,
  });

const SIZE = 'a size such as 50GiB, 5GB or 1024';
/** A size as text or as a number of bytes. */
const size = (about: About) =>
  z
    .union([z.string(), z.number()], {error: `expected ${SIZE}`})
    .transform((value, context): number => {
      try {
        const bytes = parseSize(String(value));
        if (bytes > 0) return bytes;
      } catch {
        // said below
      }
      context.issues.push({code: 'custom', message: `expected ${SIZE}, more than 0`, input: value});
      return z.NEVER;
    })
    .meta({...about});

/** Bytes, or a share in 0…1. */
function parseSpace(text: string): {readonly bytes: number} | {readonly share: number} {
  const [, percent] = /^(\d{1,2}(?:\.\d{1,3})?) ?%$/.exec(text) ?? [];
  return percent === undefined ? {bytes: parseSize(text)} : {share: Number(percent) / 100};
}

const space = (about: About) =>
  z
    .union([z.string(), z.number()], {error: `expected a share such as 20% or ${SIZE}`})
    .transform((value, context) => {
      try {
        return parseSpace(String(value));
      } catch {
        context.issues.push({code: 'custom', message: `expected a share from 0% to 99% or ${SIZE}`, input: value});
        return z.NEVER;
      }
    })
    .meta({...about});

const NOT_BUILT = 'not built in this version; expected runtime';
const door = z
  .enum(['runtime', 'direct', 'peer'], {error: 'expected runtime'})
  .refine((value) => value === 'runtime', NOT_BUILT)
  .meta({
    description:
      'Who calls here. `runtime`: container runtimes of this machine. `direct` and `peer` are refused: not built yet',
    shown: 'runtime',
  });

const listener = strict(
  {
    address: address({
      description: 'Where to listen: a loopback address, because what is said here is not encrypted',
      examples: ['127.0.0.1:5055'],
    }),
    door: door.optional(),
    secretFile: file(
      "A file with the node's secret (16 characters or more). Who sends it in the header `Noost-Node-Secret` is the node's runtime, and may have what was fetched with credentials",
    ).optional(),
    anyLocalProcess: flag({
      description: "Takes every caller on this machine for the node's runtime, without a proof",
    }).optional(),
  },
  'An address the agent serves images on',
);

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
    maxConnections: z
      .int({error: 'expected a whole number from 1 to 1024'})
      .min(1, 'expected a whole number from 1 to 1024')
      .max(1024, 'expected a whole number from 1 to 1024')
      .meta({description: 'Connections to it at the same time', shown: 32})
      .optional(),
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

/**
 * What a configuration file may hold, every key optional: flags and variables are read by the same schema. Values
 * come out in bytes and milliseconds. Rules between keys are in rules.ts, defaults in build.ts.
 */
export const configSchema = strict(
  {
    listeners: z
      .array(listener, {error: 'expected a list of listeners'})
      .min(1, 'expected at least one listener')
      .max(16, 'expected 16 at most')
      .meta({description: 'Where images are served', shown: [{address: '127.0.0.1:5055', door: 'runtime'}]})
      .optional(),
    adminListen: address({description: 'Where metrics and health are served', shown: '127.0.0.1:5057'}).optional(),
    data: z
      .string({error: 'expected the path of a folder'})
      .min(1, 'expected the path of a folder')
      .meta({
        description: 'The folder of the cache, on a local disk; also of the socket that `noost ls` and others use',
        shown: './data',
      })
      .optional(),
    cache: strict(
      {
        maxSize: size({
          description: 'How large the cache may become. Default: the smaller of 50GiB and a quarter of the disk',
          examples: ['50GiB'],
        }).optional(),
        minFreeDisk: space({
          description: 'How much of the disk stays free, as a share or a size',
          shown: '20%',
        }).optional(),
        maxIdle: duration({description: 'Images that nobody used for so long are dropped', shown: '30d'}).optional(),
      },
      'Limits of the cache',
    ).optional(),
    defaultUpstream: parsed(
      'a registry such as docker.io, or none',
      (text) => (text === 'none' ? 'none' : parseRegistry(text)),
      {
        description: 'The registry of clients that name none; `none`: they are refused',
        shown: 'docker.io',
      },
    ).optional(),
    allowPrivateUpstreams: flag({
      description: 'Lets clients name registries at private addresses that are not under `upstreams`',
    }).optional(),
    upstreams: z
      .array(upstream, {error: 'expected a list of upstreams'})
      .max(MAX_UPSTREAMS, `expected ${String(MAX_UPSTREAMS)} at most`)
      .meta({
        description: 'Registries that need credentials, mirrors or limits; any public registry works without',
        shown: [],
      })
      .optional(),
    log: strict(
      {
        level: z
          .enum(['debug', 'info', 'warn', 'error'], {error: 'expected debug, info, warn or error'})
          .meta({description: 'The least that is logged', shown: 'info'})
          .optional(),
        format: z
          .enum(['json', 'text', 'auto'], {error: 'expected json, text or auto'})
          .meta({description: '`auto`: text on a terminal, JSON otherwise', shown: 'auto'})
          .optional(),
      },
      'Logs, on standard output',
    ).optional(),
    drain: duration({description: 'How long transfers may go on after SIGTERM', shown: '25s'}).optional(),
  },
  'Configuration of noost agent',
);

/** What the schema makes of a file, flags and variables together. */
export type Settings = z.output<typeof configSchema>;
export type UpstreamSettings = NonNullable<Settings['upstreams']>[number];
