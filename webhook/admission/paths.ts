/**
 * Where the API server calls us, below the URL or the Service of the webhook configurations.
 * - `mutate`: pods and pods/ephemeralcontainers; pins and rewrites. Fails open.
 * - `validate`: the same; judges what is really there. Fails as configured, once armed.
 * - `early`: templates of pods; only ever warns.
 * - `policies`: our own kinds.
 */
export const ADMISSION_PATHS = {
  mutate: '/mutate',
  validate: '/validate',
  early: '/early',
  policies: '/policies',
} as const;
export type Pass = keyof typeof ADMISSION_PATHS;
