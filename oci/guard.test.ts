import assert from 'node:assert/strict';
import {once} from 'node:events';
import {connect} from 'node:net';
import {test} from 'node:test';
import {classifyAddress} from './address.ts';
import {Guard, RefusedError, type Reach} from './guard.ts';

const PUBLIC: Reach = {where: 'upstream', anywhere: false, classes: ['public']};
const PRIVATE: Reach = {where: 'redirect', anywhere: false, classes: ['public', 'private']};
const LOOPBACK: Reach = {where: 'realm', anywhere: false, classes: ['public', 'loopback']};
const ANYWHERE: Reach = {where: 'upstream', anywhere: true, classes: []};

for (const [address, expected] of [
  ['8.8.8.8', 'public'],
  ['2606:4700::1', 'public'],
  ['64:ff9b::8.8.8.8', 'public'],
  ['10.1.2.3', 'private'],
  ['172.31.0.1', 'private'],
  ['192.168.0.1', 'private'],
  ['100.64.0.1', 'private'],
  ['fd12::1', 'private'],
  ['::ffff:10.0.0.1', 'private'],
  ['64:ff9b::10.0.0.1', 'private'],
  ['127.0.0.1', 'loopback'],
  ['127.8.9.1', 'loopback'],
  ['::1', 'loopback'],
  ['::ffff:127.0.0.1', 'loopback'],
  ['::127.0.0.1', 'loopback'],
  ['2002:7f00:1::', 'loopback'],
  ['64:ff9b::7f00:1', 'loopback'],
  ['64:ff9b:1::7f00:1', 'loopback'],
  ['169.254.169.254', 'forbidden'],
  ['169.254.170.2', 'forbidden'],
  ['::ffff:169.254.169.254', 'forbidden'],
  ['64:ff9b::a9fe:a9fe', 'forbidden'],
  ['2002:a9fe:a9fe::', 'forbidden'],
  ['fd00:ec2::254', 'forbidden'],
  ['100.100.100.200', 'forbidden'],
  ['0.0.0.0', 'forbidden'],
  ['0.1.2.3', 'forbidden'],
  ['::', 'forbidden'],
  ['fe80::1', 'forbidden'],
  ['fec0::1', 'forbidden'],
  ['ff02::1', 'forbidden'],
  ['224.0.0.1', 'forbidden'],
  ['240.0.0.1', 'forbidden'],
  ['255.255.255.255', 'forbidden'],
  ['198.18.0.1', 'forbidden'],
  ['2001:db8::1', 'forbidden'],
  ['2001:0:0:1::1', 'forbidden'],
  ['not an address', 'forbidden'],
] as const)
  test(`classifyAddress: ${address} is ${expected}`, () => {
    assert.equal(classifyAddress(address), expected);
  });

/** D-011, D-012: what URL parsing makes of other notations is what would be dialled. */
const URLS: readonly [url: string, reach: Reach, refused: boolean][] = [
  ['https://registry.example', PUBLIC, false],
  ['https://8.8.8.8', PUBLIC, false],
  ['https://2852039166', ANYWHERE, false],
  ['https://2852039166', PUBLIC, true],
  ['https://0xa9fea9fe', PUBLIC, true],
  ['https://0251.0376.0251.0376', PUBLIC, true],
  ['https://127.1', PUBLIC, true],
  ['https://127.1', LOOPBACK, false],
  ['https://[::ffff:169.254.169.254]', PRIVATE, true],
  ['https://[::ffff:127.0.0.1]:6443', PRIVATE, true],
  ['https://[64:ff9b::a9fe:a9fe]', PRIVATE, true],
  ['https://10.0.0.1', PUBLIC, true],
  ['https://10.0.0.1', PRIVATE, false],
  ['https://docker.io@169.254.169.254', PRIVATE, true],
  ['https://localhost.', PRIVATE, true],
  ['https://LOCALHOST', PRIVATE, true],
  ['https://a.localhost', PRIVATE, true],
  ['https://ｌocalhost', PRIVATE, true],
  ['https://registry', PRIVATE, true],
  ['https://registry', LOOPBACK, false],
  ['https://metadata.google.internal', LOOPBACK, true],
  ['https://registry.kube-system.svc', PRIVATE, true],
  ['https://registry.kube-system.svc.corp.example', PRIVATE, true],
  ['https://registry.kube-system.svc.cluster.local', PRIVATE, true],
  ['https://kubernetes.default', PRIVATE, true],
  ['https://registry.corp.internal', PRIVATE, false],
  ['https://registry.example:0', ANYWHERE, true],
  ['ftp://registry.example', ANYWHERE, true],
  ['https://127.0.0.1:5055', ANYWHERE, true],
  ['https://127.0.0.1:5056', ANYWHERE, false],
  ['https://0.0.0.0:5055', ANYWHERE, true],
  ['https://[::]:5055', ANYWHERE, true],
  ['https://127.0.0.1:5057', ANYWHERE, true],
];

for (const [url, reach, refused] of URLS)
  test(`Guard ${refused ? 'refuses' : 'lets through'} ${url} for ${reach.anywhere ? 'what is configured' : reach.classes.join('+')}`, () => {
    const denied: string[] = [];
    const own = [
      {host: '127.0.0.1', port: 5055},
      {host: '0.0.0.0', port: 5057},
    ];
    const guard = new Guard({own, resolve: never, denied: (where) => denied.push(where)});
    if (refused) assert.throws(() => guard.checkUrl(new URL(url), reach), RefusedError);
    else guard.checkUrl(new URL(url), reach);
    assert.deepEqual(denied, refused ? [reach.where] : []);
  });

for (const [url, refused] of [
  ['https://10.244.1.9:5000', true],
  ['https://[::ffff:10.244.1.9]:5000', true],
  ['https://[fd00:10:96::a]', true],
  ['https://10.245.0.1', false],
  ['https://[fd00:10:97::a]', false],
] as const)
  test(`Guard ${refused ? 'refuses' : 'lets through'} ${url} where pods and services are denied`, () => {
    const guard = new Guard({own: [], resolve: never, deniedRanges: ['10.244.0.0/16', 'fd00:10:96::/112']});
    const check = (reach: Reach): void => guard.checkUrl(new URL(url), reach);
    if (refused) assert.throws(() => check(PRIVATE), RefusedError);
    else check(PRIVATE);
    check(ANYWHERE); // what is configured may be a pod
  });

const RESOLVED: readonly [addresses: readonly string[], reach: Reach, refused: boolean][] = [
  [['8.8.8.8', '2606:4700::1'], PUBLIC, false],
  [['8.8.8.8', '127.0.0.1'], PUBLIC, true],
  [['169.254.169.254'], PRIVATE, true],
  [['10.0.0.1'], PRIVATE, false],
  [['::ffff:127.0.0.1'], PRIVATE, true],
  [['127.0.0.1'], ANYWHERE, false],
];

for (const [addresses, reach, refused] of RESOLVED)
  test(`Guard.lookup ${refused ? 'refuses' : 'gives'} ${addresses.join(' and ')} for ${reach.anywhere ? 'what is configured' : reach.classes.join('+')} (D-013)`, async () => {
    const guard = new Guard({
      own: [],
      resolve: async () => addresses.map((address) => ({address, family: address.includes(':') ? 6 : 4})),
    });
    const {promise, resolve} = Promise.withResolvers<[Error | null, unknown]>();
    guard.lookup(443, reach)('registry.example', {all: true}, (error, found) => resolve([error, found]));
    const [error, found] = await promise;
    if (refused) assert.ok(error instanceof RefusedError);
    else
      assert.deepEqual(
        (found as {address: string}[]).map(({address}) => address),
        addresses,
      );
  });

test('Guard.lookup keeps a socket from connecting to what a name turned into', async () => {
  const guard = new Guard({own: [], resolve: async () => [{address: '127.0.0.1', family: 4}]});
  const socket = connect({host: 'rebound.example', port: 1, lookup: guard.lookup(1, PRIVATE)});
  const [error] = await once(socket, 'error');
  assert.ok(error instanceof RefusedError);
});

async function never(): Promise<never> {
  throw new Error('asked a name server');
}
