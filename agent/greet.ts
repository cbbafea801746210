import {isLoopback} from '../proc/config/address.ts';
import type {Log} from '../proc/log.ts';
import type {AgentConfig} from './config/shape.ts';

/** Tells how to pull through it and push to it, in a few lines. @param addresses of the listeners, in the order of the configuration. */
export function greet(
  log: Pick<Log, 'info' | 'warn'>,
  config: AgentConfig,
  addresses: readonly string[],
  admin: string,
): void {
  const {listeners, dataDir, node, hosted} = config;
  log.info(`ready on ${addresses.join(' and ')}, metrics on ${admin}, cache in ${dataDir}`);
  const runtime = addresses[listeners.findIndex(({door}) => door === 'runtime')];
  if (runtime !== undefined) {
    log.info(
      `pull through it: skopeo copy --src-tls-verify=false docker://${runtime}/docker.io/library/alpine:latest dir:alpine`,
    );
    if (node.configure === 'none')
      log.info(
        `containerd: noost containerd install, or two lines in certs.d/_default/hosts.toml, [host."http://${runtime}"] and capabilities = ["pull", "resolve"]`,
      );
  }
  for (const [i, {door, tls, host}] of listeners.entries())
    if (door === 'direct' && tls === undefined && !isLoopback(host))
      log.warn('passwords and images pass unencrypted here, unless a proxy in front of it ends TLS', {
        listener: addresses[i] ?? '',
      });
  const at = listeners.findIndex(({door}) => door === 'direct');
  const [direct, listener] = [addresses[at], listeners[at]];
  if (direct === undefined || listener === undefined) return;
  // By its name only with a certificate, which is for that name.
  const name = listener.tls !== undefined && hosted?.host !== undefined ? hosted.host : direct;
  const [login, copy] = listener.tls === undefined ? ['--tls-verify=false ', '--dest-tls-verify=false '] : ['', ''];
  if (listener.users.htpasswdFile !== undefined)
    log.info(
      `push to it: skopeo login ${login}${name}; skopeo copy ${copy}docker://alpine:latest docker://${name}/alpine:latest`,
    );
}
