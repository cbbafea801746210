import {z} from 'zod';
import {flag, strict} from '../../proc/config/schema-parts.ts';

const SECRET_NAME = 'expected the name of a Secret, or namespace/name';
/** The section `kubernetes`. */
export const kubernetesSchema = strict(
  {
    pullSecrets: z
      .array(
        z
          .string({error: SECRET_NAME})
          .regex(/^(?:[a-z0-9][a-z0-9-]{0,62}\/)?[a-z0-9][a-z0-9.-]{0,252}$/, SECRET_NAME)
          .meta({description: 'In the namespace of the agent, if no other is named'}),
        {error: 'expected a list of names of Secrets'},
      )
      .max(64, 'expected 64 at most')
      .meta({
        description:
          "Secrets of the type `kubernetes.io/dockerconfigjson` whose logins are the node's, for registries whose entry under `upstreams` names no credentials. They are followed: a change counts at once. The agent's service account needs the right to `get`, `list` and `watch` them",
        shown: [],
      })
      .optional(),
    protectImagesInUse: flag({
      description: "What the node's pods use is not evicted",
      shown: true,
    }).optional(),
    events: flag({
      description: 'Tells of what an administrator has to change by Events about the pod of the agent',
      shown: true,
    }).optional(),
  },
  'For an agent in a pod; without effect elsewhere',
);
