import assert from 'node:assert/strict';
import {after, before, test} from 'node:test';
import {ConfigRig} from './rig.ts';

let rig: ConfigRig;
before(async () => {
  rig = await ConfigRig.create();
});
after(() => rig[Symbol.asyncDispose]());

/** Who may have what a client certificate opens is said, so that nothing else is wrong. */
const TRUSTING = 'listeners: [{address: "127.0.0.1:1", anyLocalProcess: true}]\n';

const REFUSED: readonly (readonly [yaml: string, path: string, line: number, expected: RegExp])[] = [
  ['cahce: {}', 'cahce', 1, /^unknown key; did you mean cache\?$/],
  ['cache:\n  maxSize: 5G', 'cache.maxSize', 2, /expected a size such as 50GiB.*got "5G"/],
  ['cache: {maxSize: 20%}', 'cache.maxSize', 1, /expected a size/],
  ['cache: {maxSize: 0}', 'cache.maxSize', 1, /more than 0/],
  ['cache: {maxSize: 99999TiB}', 'cache.maxSize', 1, /expected a size/],
  ['cache: {minFreeDisk: 100%}', 'cache.minFreeDisk', 1, /expected a share from 0% to 99% or a size/],
  ['cache: {minFreeDisk: true}', 'cache.minFreeDisk', 1, /expected a share/],
  ['cache: {maxIdle: 30}', 'cache.maxIdle', 1, /expected a duration such as 30s.*got "30"/],
  ['cache: {maxIdle: 30 days}', 'cache.maxIdle', 1, /expected a duration/],
  ['cache: {maxIdle: 20000d}', 'cache.maxIdle', 1, /expected a duration/],
  ['cache: 5', 'cache', 1, /expected an object \(key: value\); got "5"/],
  ['[]', '', 1, /expected an object .*got a list/],
  ['adminListen: 5057', 'adminListen', 1, /expected an address such as/],
  ['adminListen: example.com:5057', 'adminListen', 1, /expected an address/],
  ['adminListen: 127.0.0.1:70000', 'adminListen', 1, /expected an address/],
  [
    'adminListen: 127.0.0.1:5055',
    'adminListen',
    1,
    /expected an address of its own; 127.0.0.1:5055 is also listeners\[0\].address/,
  ],
  ['deniedRanges: [10.244.0.0]', 'deniedRanges[0]', 1, /expected a range of addresses such as 10\.244\.0\.0\/16/],
  [
    'node: {configure: containerd}\nkubernetes: {pullSecrets: [a/b/c]}',
    'kubernetes.pullSecrets[0]',
    2,
    /expected the name of a Secret/,
  ],
  [
    'listeners: [{address: "127.0.0.1:1"}]\nkubernetes: {pullSecrets: [a]}',
    'listeners[0]',
    1,
    /kubernetes.pullSecrets are credentials/,
  ],
  ['listeners: []', 'listeners', 1, /expected at least one listener/],
  ['listeners: {address: 127.0.0.1:1}', 'listeners', 1, /expected a list of listeners; got an object/],
  ['listeners:\n- door: runtime', 'listeners[0].address', 2, /expected an address.*it is missing/],
  ['listeners:\n- address: 0.0.0.0:5055', 'listeners[0].address', 2, /expected a loopback address .*0\.0\.0\.0:5055/],
  ['listeners: [{address: "[::]:1"}]', 'listeners[0].address', 1, /expected a loopback address/],
  ['listeners: [{address: "[::ffff:127.0.0.1]:1"}]', 'listeners[0].address', 1, /expected a loopback address/],
  ['listeners: [{address: ":1"}]', 'listeners[0].address', 1, /expected a loopback address/],
  [
    'listeners: [{address: "127.0.0.1:1"}, {address: "127.0.0.1:1"}]',
    'listeners[1].address',
    1,
    /is also listeners\[0\]/,
  ],
  ['listeners: [{address: "127.0.0.1:1", door: peer}]', 'listeners[0].door', 1, /^not built in this version/],
  ['listeners: [{address: "127.0.0.1:1", door: front}]', 'listeners[0].door', 1, /^expected runtime or direct/],
  ['listeners: [{address: "127.0.0.1:1", tls: {}}]', 'listeners[0].tls', 1, /only at a listener with door: direct/],
  [
    'listeners: [{address: "127.0.0.1:1", anyLocalProcess: yes}]',
    'listeners[0].anyLocalProcess',
    1,
    /expected true or false; got "yes"/,
  ],
  [
    'listeners: [{address: "127.0.0.1:1", secretFile: FOLDER/none}]',
    'listeners[0].secretFile',
    1,
    /expected a file that can be read.*ENOENT/,
  ],
  [
    'listeners: [{address: "127.0.0.1:1", secretFile: FOLDER}]',
    'listeners[0].secretFile',
    1,
    /expected a file; .* is none/,
  ],
  [
    'listeners: [{address: "127.0.0.1:1", secretFile: FOLDER/short}]',
    'listeners[0].secretFile',
    1,
    /expected a secret of 16 to 1024/,
  ],
  ['defaultUpstream: docker.io/library', 'defaultUpstream', 1, /expected a registry/],
  ['log: {level: trace}', 'log.level', 1, /expected debug, info, warn or error; got "trace"/],
  ['log: {format: xml}', 'log.format', 1, /expected json, text or auto/],
  ['upstreams: {}', 'upstreams', 1, /expected a list of upstreams/],
  ['upstreams:\n- url: https://x.example', 'upstreams[0].host', 2, /expected a registry such as ghcr.io.*missing/],
  ['upstreams: [{host: "http://ghcr.io"}]', 'upstreams[0].host', 1, /expected a registry/],
  ['upstreams: [{host: "ghcr.io/UPPER"}]', 'upstreams[0].host', 1, /expected a registry/],
  ['upstreams: [{host: "*.example.com"}]', 'upstreams[0].host', 1, /expected a registry/],
  ['upstreams: [{host: 2130706433}]', 'upstreams[0].host', 1, /expected a registry/],
  [
    'upstreams:\n- host: docker.io\n- host: Index.Docker.io:443',
    'upstreams[1].host',
    3,
    /expected each host once; docker.io is also upstreams\[0\].host/,
  ],
  ['upstreams: [{host: a.example/b}, {host: a.example/b/}]', 'upstreams[1].host', 1, /expected each host once/],
  [
    'upstreams: [{host: a.example, url: ftp://a.example}]',
    'upstreams[0].url',
    1,
    /expected an http:\/\/ or https:\/\/ URL without user/,
  ],
  ['upstreams: [{host: a.example, url: a.example}]', 'upstreams[0].url', 1, /expected an http/],
  ['upstreams: [{host: a.example, url: "https://a.example/v2/"}]', 'upstreams[0].url', 1, /expected an http/],
  ['upstreams: [{host: a.example, url: "https://a.example/../x"}]', 'upstreams[0].url', 1, /expected an http/],
  ['upstreams: [{host: a.example, url: "https://a.example?x=y"}]', 'upstreams[0].url', 1, /expected an http/],
  [
    'upstreams: [{host: a.example, mirrors: ["https://a.example#x"]}]',
    'upstreams[0].mirrors[0]',
    1,
    /expected an http/,
  ],
  ['upstreams: [{host: a.example, mirrors: https://m.example}]', 'upstreams[0].mirrors', 1, /expected a list of URLs/],
  [
    'upstreams:\n- host: a.example\n  staleIfError:\n    down: 30x',
    'upstreams[0].staleIfError.down',
    4,
    /expected a duration.*got "30x"/,
  ],
  ['upstreams: [{host: a.example, staleIfError: 5m}]', 'upstreams[0].staleIfError', 1, /expected an object/],
  [
    'upstreams: [{host: a.example, maxConnections: 0}]',
    'upstreams[0].maxConnections',
    1,
    /expected a whole number from 1 to 1024/,
  ],
  ['upstreams: [{host: a.example, maxConnections: 1.5}]', 'upstreams[0].maxConnections', 1, /expected a whole number/],
  ['upstreams: [{host: a.example, cache: sometimes}]', 'upstreams[0].cache', 1, /expected always or never/],
  [
    'upstreams: [{host: a.example, cache: never, offline: true}]',
    'upstreams[0].cache',
    1,
    /expected always, because of offline/,
  ],
  [
    `${TRUSTING}upstreams: [{host: a.example, tls: {certFile: FOLDER/a.crt}}]`,
    'upstreams[0].tls.certFile',
    2,
    /expected keyFile with it/,
  ],
  [
    'upstreams: [{host: a.example, tls: {keyFile: FOLDER/a.key}}]',
    'upstreams[0].tls.keyFile',
    1,
    /expected certFile with it/,
  ],
  [
    `${TRUSTING}upstreams: [{host: a.example, tls: {certFile: FOLDER/a.crt, keyFile: FOLDER/b.key}}]`,
    'upstreams[0].tls.certFile',
    2,
    /expected a PEM certificate whose key/,
  ],
  [
    `${TRUSTING}upstreams: [{host: a.example, tls: {certFile: FOLDER/a.crt, keyFile: FOLDER/none}}]`,
    'upstreams[0].tls.keyFile',
    2,
    /cannot \(ENOENT\)/,
  ],
  [
    'upstreams: [{host: a.example, tls: {caFile: FOLDER/a.key}}]',
    'upstreams[0].tls.caFile',
    1,
    /expected PEM certificates/,
  ],
  ['upstreams: [{host: "*", url: https://a.example}]', 'upstreams[0].url', 1, /expected a host of its own/],
  ['upstreams: [{host: "*", mirrors: [https://a.example]}]', 'upstreams[0].mirrors', 1, /expected a host of its own/],
  [
    'upstreams: [{host: "*", tls: {insecureSkipVerify: true}}]',
    'upstreams[0].tls.insecureSkipVerify',
    1,
    /expected a host of its own/,
  ],
];

for (const [yaml, path, line, expected] of REFUSED) {
  test(`a file is refused: ${yaml.replaceAll('\n', '⏎')}`, async () => {
    const issues = await rig.issuesOf(yaml);
    assert.deepEqual(
      issues.map((issue) => issue.path),
      [path],
    );
    assert.match(issues[0]?.message ?? '', expected);
    assert.equal(issues[0]?.origin, `${rig.path('noost.yaml')}:${String(line)}`);
  });
}
