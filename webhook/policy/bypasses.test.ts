import assert from 'node:assert/strict';
import {test} from 'node:test';
import {A, ask, clusterPolicy} from './rig.ts';
import type {PolicySpec} from './shape.ts';

// Cases of policy-peers §7 that hang on reference and policy alone, by their numbers. Elsewhere: 15, 23, 26, 27, 29, 30 are
// images-of.test.ts; 17, 42, 44, 48 judge.test.ts. What needs an object, a registry or an API server (24, 28, 31–41, 45, 46,
// 58–69 and later) is admission's and resolve's: test/integration/webhook-bypasses.test.ts and what is beside it. 49–56 and
// 60 are about signatures.

const OURS = {
  default: 'Deny',
  rules: [{name: 'ours', match: [{registry: 'docker.io', repository: 'mycompany/**'}], action: 'Allow'}],
} as const satisfies PolicySpec;
const NO_HUB = {
  default: 'Allow',
  rules: [{name: 'no', match: [{registry: 'docker.io'}], action: 'Deny'}],
} as const satisfies PolicySpec;
const NO_LATEST = {
  default: 'Allow',
  rules: [{name: 'no', match: [{tag: 'latest'}], action: 'Deny'}],
} as const satisfies PolicySpec;
const HEX = 'a'.repeat(64);

const REFUSED: readonly (readonly [number, PolicySpec, readonly string[]])[] = [
  [1, OURS, ['docker.io.evil.com/mycompany/x', 'evil.com/docker.io/mycompany/x', 'evil.com/mycompany/x']],
  [2, OURS, ['docker.io/mycompanyevil/x', 'mycompany-evil/x', 'mycompany', 'library/mycompany']],
  [4, NO_HUB, ['nginx', 'user/img', 'library/nginx']],
  [5, NO_HUB, ['docker.io/nginx', 'docker.io/library/nginx', 'index.docker.io/library/nginx']],
  [6, NO_HUB, ['registry-1.docker.io/library/nginx', 'registry.hub.docker.com/library/nginx']],
  [8, OURS, ['MYREG/foo', 'MYCOMPANY/x', 'Docker.io/mycompany/x']],
  [8, NO_HUB, ['Docker.io/library/nginx', 'DOCKER.IO/library/nginx', 'MYREG/foo']],
  [
    10,
    OURS,
    ['localhost/mycompany/x', 'localhost:5000/mycompany/x', '[::1]:5000/mycompany/x', '127.0.0.1:5000/mycompany/x'],
  ],
  [10, NO_HUB, ['[fe80::1%25eth0]/x']],
  [
    11,
    NO_HUB,
    ['docker.io:443/library/nginx', 'docker.io:0443/library/nginx', 'ghcr.io:0443/x', 'ghcr.io:65536/x', 'ghcr.io:/x'],
  ],
  [12, NO_HUB, ['dоcker.io/library/nginx', 'docker。io/library/nginx', 'docker.io/library/ngіnx']],
  [12, OURS, ['xn--dcker-jye.io/mycompany/x']],
  [
    13,
    NO_HUB,
    [
      'https://ghcr.io/x',
      'user@ghcr.io/x',
      'ghcr.io/x?y',
      'ghcr.io/../x',
      'ghcr.io/a//b',
      'ghcr.io/a%2fb',
      'ghcr.io/x#y',
    ],
  ],
  [
    14,
    NO_HUB,
    [' ghcr.io/x', 'ghcr.io/x ', '\tghcr.io/x', 'ghcr.io/x\n', 'ghcr.io/x\u0000', 'ghcr.io/\u200bx', '\ufeffghcr.io/x'],
  ],
  [15, NO_HUB, ['']],
  [18, OURS, [`evil/x@${A}`, `evil/x:1@${A}`]],
  [
    19,
    NO_HUB,
    [
      'ghcr.io/x@md5:d41d8cd98f00b204e9800998ecf8427e',
      `ghcr.io/x@sha256:${'A'.repeat(64)}`,
      `ghcr.io/x@sha256:${HEX.slice(1)}`,
      `ghcr.io/x@${A}@${A}`,
      'ghcr.io/x@',
      HEX,
      A,
    ],
  ],
  [20, NO_LATEST, ['nginx', 'nginx:latest', `nginx:latest@${A}`, 'ghcr.io/a/b']],
  [22, OURS, ['my_reg/mycompany/x']],
  [65, OURS, ['[team-a]mycompany/x', 'mycompany/x,mycompany/y', 'mycompany/x;y']],
];

for (const [number, spec, images] of REFUSED)
  for (const image of images)
    test(`policy-peers ${number}: ${JSON.stringify(image)} is refused`, () => {
      assert.equal(ask([clusterPolicy(spec)], [image]).allowed, false);
    });

const ADMITTED: readonly (readonly [number, PolicySpec, readonly string[]])[] = [
  [2, OURS, ['mycompany/x', 'docker.io/mycompany/x/y:1']],
  [5, OURS, ['index.docker.io/mycompany/x:1']],
  [6, OURS, ['registry-1.docker.io/mycompany/x:1']],
  [11, NO_HUB, ['ghcr.io:443/x', 'GHCR.io/x']],
  [18, OURS, [`mycompany/x@${A}`, `mycompany/x:1@${A}`]],
  [19, OURS, [`mycompany/x@sha512:${'b'.repeat(128)}`]],
  [20, NO_LATEST, ['nginx:1', `nginx@${A}`]],
];

for (const [number, spec, images] of ADMITTED)
  for (const image of images)
    test(`policy-peers ${number}: ${JSON.stringify(image)} is admitted, as what it means`, () => {
      assert.equal(ask([clusterPolicy(spec)], [image]).allowed, true);
    });

test('policy-peers 11: the usual port said and not said is one registry, for Allow and for Deny', () => {
  const only = (registry: string, action: 'Allow' | 'Deny') =>
    clusterPolicy({default: action === 'Allow' ? 'Deny' : 'Allow', rules: [{name: 'r', match: [{registry}], action}]});
  for (const registry of ['ghcr.io', 'ghcr.io:443'])
    for (const image of ['ghcr.io/x', 'ghcr.io:443/x']) {
      assert.equal(ask([only(registry, 'Allow')], [image]).allowed, true, `${registry} ${image}`);
      assert.equal(ask([only(registry, 'Deny')], [image]).allowed, false, `${registry} ${image}`);
    }
  assert.equal(ask([only('ghcr.io', 'Allow')], ['ghcr.io:444/x']).allowed, false);
  assert.equal(ask([only('ghcr.io', 'Deny')], ['ghcr.io:444/x']).allowed, false);
});
