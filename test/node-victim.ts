import {install, uninstall} from '../agent/node/certs-dir.ts';

/** Where the tree under test has containerd's host configuration. */
export const CERTS = '/etc/containerd/certs.d';
export const HOST = {url: 'http://127.0.0.1:5055', secret: '0123456789abcdef0123', order: 'first'} as const;

/** Run as a program: `node-victim.ts ROOT install|uninstall`, to be killed where NOOST_FAULT says. Says `done` if it was not. */
async function act(root: string, what: string): Promise<void> {
  const certs = {root, path: CERTS};
  const writer = {owner: 'victim', since: new Date('2026-11-25T20:00:00Z')};
  if (what === 'install') await install(certs, {host: HOST, registries: undefined}, writer);
  else await uninstall(certs);
  console.log('done');
}

if (import.meta.main) await act(process.argv[2] ?? '', process.argv[3] ?? '');
