import {DOCKER_HUB} from './reference.ts';
import type {RepositoryName} from './source.ts';

/** A login as a registry or its token server takes it. Never logged. */
export interface Login {
  readonly username: string;
  readonly password: string;
  /** For the OAuth2 refresh grant, in the place of a password (C-020, C-023). */
  readonly identityToken: string | undefined;
  /** A Bearer token that is sent as it is. */
  readonly registryToken: string | undefined;
}

interface Entry extends Login {
  readonly host: string;
  /** Components after the host, `''` for all of it. */
  readonly path: string;
}

/** What containers' auth.json, `.dockerconfigjson` and the old `.dockercfg` hold (C-020, C-022). */
export class DockerConfig {
  readonly #entries: readonly Entry[];

  /** @throws {SyntaxError} if it is not JSON of that form; the message has none of its content. */
  constructor(text: string) {
    const root = asObject(parseJson(text));
    if (!root) throw new SyntaxError('Not a docker configuration file');
    const auths =
      asObject(root['auths']) ?? ('auths' in root || 'credsStore' in root || 'credHelpers' in root ? {} : root);
    this.#entries = Object.entries(auths).flatMap(([key, value]) => toEntry(key, asObject(value)));
  }

  /** The login whose key has the repository's registry and the longest path that it is in. */
  find({registry, repository}: RepositoryName): Login | undefined {
    const matching = this.#entries.filter(({host, path}) => {
      return host === registry && (path === '' || repository === path || repository.startsWith(`${path}/`));
    });
    return matching.toSorted((a, b) => b.path.length - a.path.length)[0];
  }
}

function toEntry(key: string, value: Record<string, unknown> | undefined): Entry[] {
  const login = value && toLogin(value);
  const [, authority = '', rest = ''] = /^(?:https?:\/\/)?([^/]+)(?:\/(.*))?$/i.exec(key.trim()) ?? [];
  if (!login || authority === '') return [];
  const isUrl = /^https?:\/\//i.test(key);
  const path = rest.replace(/\/+$/, '');
  const host = authority.toLowerCase().replace(/:443$/, '');
  // docker writes https://index.docker.io/v1/ for Docker Hub, and https://host/v1/ or /v2/ for others.
  return [
    {
      ...login,
      host: isHub(host) ? DOCKER_HUB : host,
      path: isUrl || /^v[12]$/.test(path) ? path.replace(/^v[12]$/, '') : path,
    },
  ];
}

function toLogin(value: Record<string, unknown>): Login | undefined {
  const [identityToken, registryToken] = [asText(value['identitytoken']), asText(value['registrytoken'])];
  const decoded = Buffer.from(asText(value['auth']) ?? '', 'base64').toString();
  const colon = decoded.indexOf(':'); // the first: a password may contain more
  const username = asText(value['username']) ?? (colon < 0 ? '' : decoded.slice(0, colon));
  const password = asText(value['password']) ?? (colon < 0 ? '' : decoded.slice(colon + 1).replace(/\0+$/, ''));
  if (identityToken === undefined && registryToken === undefined && (username === '' || password === ''))
    return undefined;
  return {username, password, identityToken, registryToken};
}

function isHub(host: string): boolean {
  return host === DOCKER_HUB || host === 'index.docker.io' || host === 'registry-1.docker.io';
}

function asText(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function asObject(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new SyntaxError('Not JSON'); // the engine's message would quote the file
  }
}
