import {z} from 'zod';
import {address, file, flag, strict} from '../../proc/config/schema-parts.ts';

const door = z
  .enum(['runtime', 'direct', 'peer'], {error: 'expected runtime or direct'})
  .refine((value) => value !== 'peer', 'not built in this version; expected runtime or direct')
  .meta({
    description:
      'Who calls here. `runtime`: container runtimes of this machine. `direct`: people, CI and other machines, who push and pull hosted images and say who they are. `peer` is refused: not built yet',
    shown: 'runtime',
  });

const tls = strict(
  {
    certFile: file('A PEM certificate and what leads from it to its authority').optional(),
    keyFile: file('Its key').optional(),
  },
  'For a direct listener: the certificate it shows. Read again within seconds when the files change',
);

const users = strict(
  {
    htpasswdFile: file(
      'Who may log in: a file as `htpasswd -B` makes it (bcrypt only), read again within seconds when it changes. Each of them may pull, push and delete',
    ).optional(),
    anonymous: z
      .enum(['none', 'pull'], {error: 'expected none or pull'})
      .meta({description: 'What who does not log in may do', shown: 'none'})
      .optional(),
  },
  'For a direct listener: who may do what',
);

/** An entry of `listeners`. */
export const listenerSchema = strict(
  {
    address: address({
      description:
        'Where to listen. A runtime listener: a loopback address, because what is said there is not encrypted; a direct one: any, with `tls`',
      examples: ['127.0.0.1:5055', '0.0.0.0:5050'],
    }),
    door: door.optional(),
    secretFile: file(
      "For a runtime listener: a file with the node's secret (16 characters or more). Who sends it in the header `Noost-Node-Secret` is the node's runtime, and may have what was fetched with credentials",
    ).optional(),
    anyLocalProcess: flag({
      description: "For a runtime listener: takes every caller on this machine for the node's runtime, without a proof",
    }).optional(),
    tls: tls.optional(),
    insecure: flag({
      description:
        'For a direct listener without `tls` at an address that is not loopback: passwords and images pass unencrypted. Only behind a proxy that ends TLS',
    }).optional(),
    users: users.optional(),
  },
  'An address the agent serves images on',
);
