import assert from 'node:assert/strict';
import {test} from 'node:test';
import type {AgentConfig, ListenerConfig} from './config/shape.ts';
import {greet} from './greet.ts';

function said(listeners: readonly Partial<ListenerConfig>[], more: Partial<AgentConfig> = {}): string[] {
  const lines: string[] = [];
  const log = {
    info: (line: string): void => void lines.push(line),
    warn: (line: string): void => void lines.push(`warn: ${line}`),
  };
  const addresses = listeners.map((_, i) => `127.0.0.1:${String(5000 + i)}`);
  const users = {htpasswdFile: '/users', anonymous: 'none'};
  const full = listeners.map((one) => ({tls: undefined, users, host: '127.0.0.1', ...one}));
  const config = {listeners: full, dataDir: '/data', node: {configure: 'none'}, ...more} as unknown as AgentConfig;
  greet(log, config, addresses, '127.0.0.1:9');
  return lines;
}

test('greet() tells each listener’s address, and to pull at the one for runtimes wherever it stands', () => {
  const [ready = '', pull = '', containerd = '', push = ''] = said([{door: 'direct'}, {door: 'runtime'}]);
  assert.equal(ready, 'ready on 127.0.0.1:5000 and 127.0.0.1:5001, metrics on 127.0.0.1:9, cache in /data');
  assert.match(pull, /docker:\/\/127\.0\.0\.1:5001\/docker\.io/);
  assert.match(containerd, /host\."http:\/\/127\.0\.0\.1:5001"/);
  assert.match(push, /skopeo copy --dest-tls-verify=false .* docker:\/\/127\.0\.0\.1:5000\/alpine:latest$/);
});

test('greet() tells the name where there is a certificate for it, and nothing of pushing where nobody may', () => {
  const tls = {certFile: 'c', keyFile: 'k'};
  const hosted = {host: 'reg.test'} as AgentConfig['hosted'];
  assert.match(
    said([{door: 'direct', tls}], {hosted}).at(-1) ?? '',
    /login reg\.test; skopeo copy docker:.* docker:\/\/reg\.test\//,
  );
  const users = {htpasswdFile: undefined, anonymous: 'pull'} as const;
  assert.equal(said([{door: 'direct', users}], {hosted}).length, 1);
});

test('greet() warns where passwords can be read on the way, and only there', () => {
  const tls = {certFile: 'c', keyFile: 'k'};
  const warned = (one: Partial<ListenerConfig>): boolean =>
    said([one]).some((line) => /^warn: .*unencrypted/.test(line));
  assert.equal(warned({door: 'direct', host: '0.0.0.0'}), true);
  assert.equal(warned({door: 'direct', host: '0.0.0.0', tls}), false);
  assert.equal(warned({door: 'direct', host: '127.0.0.1'}), false);
  assert.equal(warned({door: 'runtime', host: '127.0.0.1'}), false);
});
