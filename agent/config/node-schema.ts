import {z} from 'zod';
import {parseRegistry} from '../../oci/reference.ts';
import {parsed, strict} from '../../proc/config/schema-parts.ts';

const ABSOLUTE = 'expected an absolute path';
const absolute = (description: string, more: {readonly shown?: unknown; readonly examples?: readonly unknown[]} = {}) =>
  z
    .string({error: ABSOLUTE})
    .regex(/^\/[^\0]*$/, ABSOLUTE)
    .meta({description, ...more});

/** `node`: what the agent writes on its own node. */
export const nodeSchema = strict(
  {
    configure: z
      .enum(['none', 'containerd', 'crio', 'remove'], {error: 'expected none, containerd, crio or remove'})
      .meta({
        description:
          'Which runtime of this node the agent points at itself. `containerd`: it writes its address and a secret into the hosts.toml files, keeps them so while it can serve, and gives back what was there when it cannot or ends. `crio`: the same with a drop-in below `/etc/containers/registries.conf.d`. `remove`: it takes every agent out of them, and is ready when none is there any more (`noost uninstall`)',
        shown: 'none',
      })
      .optional(),
    hostRoot: absolute("Where the host's file system is; in a pod, where its parts are mounted", {
      shown: '/',
    }).optional(),
    containerdConfig: absolute(
      "containerd's configuration, as the host names it. Default: where containerd, k3s, RKE2, k0s or MicroK8s has it",
      {examples: ['/etc/containerd/config.toml']},
    ).optional(),
    certsDir: absolute(
      'The folder with a folder for each registry, as the host names it. Default: what the configuration of containerd says, else `/etc/containerd/certs.d`',
      {examples: ['/etc/containerd/certs.d']},
    ).optional(),
    registries: z
      .array(parsed('a registry such as ghcr.io', parseRegistry, {description: 'A registry as images name it'}), {
        error: 'expected a list of registries',
      })
      .min(1, 'expected at least one registry')
      .max(200, 'expected 200 at most')
      .meta({
        description: 'The registries whose images come to the agent. Default: all',
        examples: [['ghcr.io', 'docker.io']],
      })
      .optional(),
    order: z
      .enum(['first', 'last'], {error: 'expected first or last'})
      .meta({
        description: 'Whether the agent is asked before or after the hosts that a file names already',
        shown: 'first',
      })
      .optional(),
  },
  'How the runtime of this node finds the agent',
);
