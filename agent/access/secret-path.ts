/** What stands before the secret in its path component. A runtime's grammar of names holds it: lower case and dashes. */
export const SECRET_COMPONENT = 'noost-secret-';

export interface Target {
  /** The request target as if there had been no secret in it: what is parsed, logged and kept. */
  readonly target: string;
  readonly secret: string | undefined;
}

/** Before `/v2` dockerd puts a mirror's path, after it CRI-O, podman and BuildKit (B-071, B-080, B-083). */
const WITH_SECRET = new RegExp(`^(/v2)?/${SECRET_COMPONENT}([^/?#]*)(?=[/?#]|$)`);

/**
 * Takes the node's secret out of a request target, right or wrong, before anything else sees it (design §8): runtimes
 * that send no headers have it as a path component.
 */
export function takeSecret(target: string): Target {
  if (!target.includes(SECRET_COMPONENT)) return {target, secret: undefined}; // nearly always
  const [found = '', v2 = '', secret] = WITH_SECRET.exec(target) ?? [];
  return {target: secret === undefined ? target : v2 + target.slice(found.length), secret};
}
