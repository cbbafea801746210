import assert from 'node:assert/strict';
import {test} from 'node:test';
import {loadAgentConfig} from './load.ts';
import {needRestart} from './reload.ts';

const CHANGES: readonly (readonly [flags: Readonly<Record<string, string>>, keys: readonly string[]])[] = [
  [{}, []],
  [{listen: '127.0.0.1:1'}, ['listeners']],
  [{'admin-listen': '127.0.0.1:1'}, ['adminListen']],
  [{data: '/srv/noost'}, ['data']],
  [{listeners: '[{address: "127.0.0.1:5055", door: direct, users: {anonymous: pull}}]'}, ['listeners']],
  [{'log-format': 'json', 'log-level': 'debug'}, ['log.format']],
  [{'cache-size': '1GiB', upstreams: '[{host: a.example}]', 'any-local-process': 'true', drain: '1s'}, []],
];

for (const [flags, keys] of CHANGES) {
  test(`${JSON.stringify(flags)} needs a restart for ${JSON.stringify(keys)}`, async () => {
    assert.deepEqual(needRestart(await loadAgentConfig({}, {}), await loadAgentConfig(flags, {})), keys);
  });
}
