import assert from 'node:assert/strict';
import {once} from 'node:events';
import {createServer, type IncomingMessage} from 'node:http';
import {connect, type AddressInfo, type Socket} from 'node:net';
import {buffer} from 'node:stream/consumers';
import {after, before, test} from 'node:test';
import {FakeRegistry} from '../test/fake-registry.ts';
import {newSelfSigned, type SelfSigned} from '../test/self-signed.ts';
import {ask, NAME, newUpstreamRig, newUpstreams, settings} from '../test/upstream-rig.ts';

let own: SelfSigned;
let other: SelfSigned;
before(async () => {
  own = await newSelfSigned(['reg.test', 'storage.test']);
  other = await newSelfSigned();
});
after(async () => {
  await own[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
});

const tls = (more: object): {tls: NonNullable<Parameters<typeof settings>[0]>['tls'] & {}} => ({
  tls: {caFile: undefined, certFile: undefined, keyFile: undefined, insecureSkipVerify: false, ...more},
});

test('a certificate that nobody vouches for is refused, and asked for once', async () => {
  await using rig = await newUpstreamRig({tls: own});
  await assert.rejects(rig.upstream.getManifest(NAME, 'v1', ask()), {failure: 'down', message: /SELF_SIGNED/});
  assert.deepEqual([rig.fake.requests, rig.events], [[], ['request reg.test down']]);
});

for (const [name, more] of [
  ['its CA', () => ({caFile: own.certFile})],
  ['insecureSkipVerify', () => ({insecureSkipVerify: true})],
] as const)
  test(`with ${name} registry, token server and storage are trusted (D-042)`, async () => {
    await using rig = await newUpstreamRig({
      tls: own,
      auth: 'bearer',
      login: true,
      redirectBlobs: true,
      settings: tls(more()),
    });
    const {layers} = rig.fake.content.addImage('acme/app', 'v1', ['layer']);
    await rig.upstream.getManifest(NAME, 'v1', ask('node'));
    const {body} = await rig.source().open(layers[0]!, 0, ask('node'));
    assert.equal((await buffer(body)).toString(), 'layer');
    assert.ok(rig.fake.requests.every(({httpVersion}) => httpVersion === '1.1'));
  });

test('insecureSkipVerify is not for other hosts that it redirects to', async () => {
  const lookup = async () => [{address: '127.0.0.1', family: 4}];
  await using rig = await newUpstreamRig({tls: own, settings: tls({insecureSkipVerify: true}), client: {lookup}});
  rig.fake.fail({
    kind: 'status',
    status: 307,
    headers: {location: `https://storage.test:${rig.fake.port('storage')}/x`},
  });
  await assert.rejects(rig.source().open(`sha256:${'0'.repeat(64)}`, 0, ask()), {
    failure: 'down',
    message: /SELF_SIGNED/,
  });
});

test('small questions go over HTTP/2 where it is offered, blobs over HTTP/1.1 always (C-057)', async () => {
  await using rig = await newUpstreamRig({
    tls: own,
    http2: true,
    auth: 'bearer',
    login: true,
    settings: tls({caFile: own.certFile}),
  });
  const {digest, layers} = rig.fake.content.addImage('acme/app', 'v1', ['layer']);
  const heads = await Promise.all(Array.from({length: 20}, () => rig.upstream.headManifest(NAME, 'v1', ask('node'))));
  assert.ok(heads.every((head) => head.digest === digest && head.authority === 'node'));
  await rig.upstream.getManifest(NAME, digest, ask('node'));
  const {body} = await rig.source().open(layers[0]!, 0, ask('node'));
  assert.equal((await buffer(body)).toString(), 'layer');
  for (const {url, httpVersion} of rig.fake.requests)
    assert.equal(httpVersion, url.includes('/blobs/') ? '1.1' : '2.0', url);
});

for (const [fault, failure] of [
  [{kind: 'reset'}, 'down'],
  [{kind: 'hang'}, 'timeout'],
  [{kind: 'stall', after: 5}, 'timeout'],
  [{kind: 'truncate', after: 5, how: 'rst'}, 'down'],
] as const)
  test(`over HTTP/2 ${fault.kind} is '${failure}'`, async () => {
    await using rig = await newUpstreamRig({
      tls: own,
      http2: true,
      settings: tls({caFile: own.certFile}),
      client: {timeouts: {budgetMs: 500}},
    });
    rig.fake.content.addImage('acme/app', 'v1');
    rig.fake.fail(fault, {times: Infinity});
    await assert.rejects(rig.upstream.getManifest(NAME, 'v1', ask()), {name: 'UpstreamError', failure});
    rig.fake.clear();
    await rig.upstream.getManifest(NAME, 'v1', ask());
  });

test('a registry is found again over HTTP/2 after it was restarted', async () => {
  await using rig = await newUpstreamRig({tls: own, http2: true, settings: tls({caFile: own.certFile})});
  rig.fake.content.addImage('acme/app', 'v1');
  await rig.upstream.getManifest(NAME, 'v1', ask());
  await rig.fake.down();
  await rig.fake.up();
  await rig.upstream.getManifest(NAME, 'v1', ask());
});

test('http redirects of an https registry are refused (D-014)', async () => {
  await using rig = await newUpstreamRig({tls: own, settings: tls({caFile: own.certFile})});
  rig.fake.fail({kind: 'status', status: 307, headers: {location: 'http://cdn.example/x'}});
  await assert.rejects(rig.source().open(`sha256:${'0'.repeat(64)}`, 0, ask()), {failure: 'refused'});
});

test('an https registry’s http realm is refused (C-007)', async () => {
  await using rig = await newUpstreamRig({tls: own, auth: 'bearer', settings: tls({caFile: own.certFile})});
  rig.fake.auth.realm = 'http://127.0.0.1/token';
  await assert.rejects(rig.upstream.getManifest(NAME, 'v1', ask()), {failure: 'refused', message: /realm/});
});

test('HTTPS_PROXY is used for what NO_PROXY does not name, with names checked and no lookup of ours', async () => {
  await using fake = await FakeRegistry.start({tls: own});
  fake.content.addImage('acme/app', 'v1', ['layer']);
  await using proxy = await newProxy(fake.port('registry'));
  const lookup = async (): Promise<never> => assert.fail('asked a name server');
  const env = {HTTPS_PROXY: `http://name:word@127.0.0.1:${proxy.port}`, NO_PROXY: 'direct.test'};
  const upstreams = newUpstreams(
    [settings({...tls({caFile: own.certFile}), host: 'reg.test', url: 'https://reg.test'})],
    {env, lookup},
  );
  const manifest = await upstreams.for(NAME).getManifest(NAME, 'v1', ask());
  assert.ok(manifest.sizeBytes > 0);
  assert.deepEqual(proxy.asked, ['CONNECT reg.test:443 Basic bmFtZTp3b3Jk']);
  const metadata = {registry: 'metadata.google.internal', repository: 'x'};
  await assert.rejects(async () => upstreams.for(metadata).getManifest(metadata, 'v1', ask()), {failure: 'refused'});
  assert.equal(proxy.asked.length, 1);
  await upstreams.close();
});

/** Tunnels every CONNECT to one port of 127.0.0.1. */
async function newProxy(to: number): Promise<AsyncDisposable & {port: number; asked: string[]}> {
  const asked: string[] = [];
  const open: Socket[] = [];
  const server = createServer();
  server.on('connect', (req: IncomingMessage, socket: Socket) => {
    asked.push(`CONNECT ${req.url} ${req.headers['proxy-authorization']}`);
    const onward = connect(to, '127.0.0.1');
    open.push(
      socket.on('error', () => {}),
      onward.on('error', () => {}),
    );
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
    socket.pipe(onward).pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const {port} = server.address() as AddressInfo; // it listens at a port
  const close = async (): Promise<void> => {
    for (const socket of open) socket.destroy();
    server.close();
  };
  return {port, asked, [Symbol.asyncDispose]: close};
}
