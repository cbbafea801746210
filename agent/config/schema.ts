import {z} from 'zod';
import {parseRange} from '../../oci/address.ts';
import {parseRegistry} from '../../oci/reference.ts';
import {upstreamsSchema} from '../../oci/upstream-schema.ts';
import {address, duration, flag, logSection, parsed, size, space, strict} from '../../proc/config/schema-parts.ts';
import {hostedSchema} from './hosted-schema.ts';
import {kubernetesSchema} from './kubernetes-schema.ts';
import {listenerSchema} from './listener-schema.ts';
import {nodeSchema} from './node-schema.ts';

/**
 * What a configuration file may hold, every key optional: flags and variables are read by the same schema. Values
 * come out in bytes and milliseconds. Rules between keys are in rules.ts, defaults in build.ts.
 */
export const configSchema = strict(
  {
    listeners: z
      .array(listenerSchema, {error: 'expected a list of listeners'})
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
    deniedRanges: z
      .array(
        parsed('a range of addresses such as 10.244.0.0/16', (text) => (parseRange(text), text), {
          description: 'A range of addresses',
        }),
        {error: 'expected a list of ranges of addresses'},
      )
      .max(64, 'expected 64 at most')
      .meta({
        description:
          'Where no registry is that is not under `upstreams`, whatever `allowPrivateUpstreams` says: the addresses of pods and services of the cluster',
        shown: [],
        examples: [['10.244.0.0/16', '10.96.0.0/12']],
      })
      .optional(),
    upstreams: upstreamsSchema.optional(),
    hosted: hostedSchema.optional(),
    node: nodeSchema.optional(),
    kubernetes: kubernetesSchema.optional(),
    log: logSection.optional(),
    drain: duration({description: 'How long transfers may go on after SIGTERM', shown: '25s'}).optional(),
  },
  'Configuration of noost agent',
);

/** What the schema makes of a file, flags and variables together. */
export type Settings = z.output<typeof configSchema>;
