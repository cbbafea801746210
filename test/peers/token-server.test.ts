import assert from 'node:assert/strict';
import {mkdtempDisposable} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {test} from 'node:test';
import {needs} from '../needs.ts';
import {CertificateAuthority} from './certificate-authority.ts';
import {DockerRegistry} from './docker-registry.ts';
import {makeImage} from './image.ts';
import {twoPlatforms} from './sample-images.ts';
import {Skopeo} from './skopeo.ts';
import {TokenServer} from './token-server.ts';

// What the proofs take for granted of their peers: that they do refuse.
test('a registry with the token server lets in whom it should, and nobody else', async (t) => {
  if (!needs(t, 'docker-registry', 'skopeo', 'openssl')) return;
  await using stack = new AsyncDisposableStack();
  const {path: folder} = stack.use(await mkdtempDisposable(join(tmpdir(), 'noost-token-')));
  const ca = await CertificateAuthority.create(folder);
  const users = {alice: 'secret'};
  const tokens = stack.use(await TokenServer.start({signer: ca, users, publicRepositories: /^public\//}));
  const auth = {kind: 'token', realm: tokens.realm, service: tokens.service, trusted: ca} as const;
  const registry = stack.use(await DockerRegistry.start({folder: join(folder, 'registry'), auth}));
  const image = await makeImage(join(folder, 'image'), twoPlatforms('token', 'oci', 'gzip'));
  const skopeo = new Skopeo(join(folder, 'skopeo'));
  const alice = {username: 'alice', password: 'secret'};
  for (const repository of ['public/app', 'private/app'])
    await skopeo.push(image, `${registry.address}/${repository}:v1`, alice);

  /** Status of a manifest's GET with the token that `ask` gives. */
  const pull = async (repository: string, ask: (scope: string) => Promise<Response>): Promise<number> => {
    const answer = await ask(`repository:${repository}:pull`);
    if (answer.status !== 200) return answer.status;
    const {token, access_token = token} = (await answer.json()) as Record<string, string>;
    const url = `${registry.url}/v2/${repository}/manifests/v1`;
    return (await fetch(url, {headers: {authorization: `Bearer ${access_token}`, accept: image.root.mediaType}}))
      .status;
  };
  const get = (user?: string) => async (scope: string) => {
    const headers = user === undefined ? {} : {authorization: `Basic ${Buffer.from(user).toString('base64')}`};
    return fetch(`${tokens.realm}?service=${tokens.service}&scope=${scope}`, {headers});
  };
  const post = (username: string, password: string) => async (scope: string) => {
    const form = {grant_type: 'password', service: tokens.service, client_id: 'test', scope, username, password};
    return fetch(tokens.realm, {method: 'POST', body: new URLSearchParams(form)});
  };
  for (const [name, repository, ask, status] of [
    ['Basic GET', 'private/app', get('alice:secret'), 200],
    ['OAuth2 POST', 'private/app', post('alice', 'secret'), 200],
    ['nobody, in public', 'public/app', get(), 200],
    ['nobody, in private', 'private/app', get(), 401],
    ['a wrong password', 'public/app', get('alice:wrong'), 401],
    ['a wrong password by POST', 'private/app', post('alice', 'wrong'), 401],
  ] as const)
    await t.test(`${name}: ${status}`, async () => assert.equal(await pull(repository, ask), status));
});
