import {z} from 'zod';
import {parseRegistry} from '../../oci/reference.ts';
import {upstreamsSchema} from '../../oci/upstream-schema.ts';
import {
  address,
  duration,
  file,
  flag,
  logSection,
  parsed,
  size,
  space,
  strict,
} from '../../proc/config/schema-parts.ts';

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
    upstreams: upstreamsSchema.optional(),
    log: logSection.optional(),
    drain: duration({description: 'How long transfers may go on after SIGTERM', shown: '25s'}).optional(),
  },
  'Configuration of noost agent',
);

/** What the schema makes of a file, flags and variables together. */
export type Settings = z.output<typeof configSchema>;
