import assert from 'node:assert/strict';
import {test} from 'node:test';
import {DockerConfig} from './docker-config.ts';

const auth = (text: string): string => Buffer.from(text).toString('base64');
const find = (config: object, registry: string, repository = 'acme/app'): string | undefined => {
  const login = new DockerConfig(JSON.stringify(config)).find({registry, repository});
  return (
    login &&
    [login.username, login.password, login.identityToken, login.registryToken].map((part) => part ?? '-').join(' ')
  );
};

/** C-020, C-022. */
const TABLE: readonly [
  name: string,
  config: object,
  registry: string,
  repository: string,
  expected: string | undefined,
][] = [
  ['auth', {auths: {'reg.test': {auth: auth('u:p')}}}, 'reg.test', 'a', 'u p - -'],
  ['a password with colons', {auths: {'reg.test': {auth: auth('u:p:q:')}}}, 'reg.test', 'a', 'u p:q: - -'],
  ['username and password', {auths: {'reg.test': {username: 'u', password: 'p'}}}, 'reg.test', 'a', 'u p - -'],
  ['an identity token', {auths: {'reg.test': {auth: auth('u:'), identitytoken: 't'}}}, 'reg.test', 'a', 'u  t -'],
  ['a registry token', {auths: {'reg.test': {registrytoken: 't'}}}, 'reg.test', 'a', '  - t'],
  ["Docker Hub's old key", {auths: {'https://index.docker.io/v1/': {auth: auth('u:p')}}}, 'docker.io', 'a', 'u p - -'],
  ["Docker Hub's API host", {auths: {'registry-1.docker.io': {auth: auth('u:p')}}}, 'docker.io', 'a', 'u p - -'],
  ['a URL', {auths: {'https://reg.test/v1/': {auth: auth('u:p')}}}, 'reg.test', 'a', 'u p - -'],
  ['a port', {auths: {'reg.test:5000': {auth: auth('u:p')}}}, 'reg.test:5000', 'a', 'u p - -'],
  ['another port', {auths: {'reg.test:5000': {auth: auth('u:p')}}}, 'reg.test', 'a', undefined],
  ['another host', {auths: {'reg.test': {auth: auth('u:p')}}}, 'a.reg.test', 'a', undefined],
  [
    'the longest path',
    {auths: {'reg.test/x': {auth: auth('x:p')}, 'reg.test': {auth: auth('u:p')}, 'reg.test/x/y': {auth: auth('y:p')}}},
    'reg.test',
    'x/y/z',
    'y p - -',
  ],
  ['whole path components', {auths: {'reg.test/x': {auth: auth('x:p')}}}, 'reg.test', 'xy', undefined],
  ['the old .dockercfg', {'reg.test': {auth: auth('u:p')}}, 'reg.test', 'a', 'u p - -'],
  [
    'an empty entry of a credential store',
    {auths: {'reg.test': {}}, credsStore: 'desktop'},
    'reg.test',
    'a',
    undefined,
  ],
  ['a store without auths', {credsStore: 'desktop'}, 'credsstore', 'a', undefined],
  ['broken base64', {auths: {'reg.test': {auth: '%%%'}}}, 'reg.test', 'a', undefined],
  ['wrong types', {auths: {'reg.test': {auth: 5}, other: 'x'}}, 'reg.test', 'a', undefined],
];

for (const [name, config, registry, repository, expected] of TABLE)
  test(`DockerConfig reads ${name}`, () => {
    assert.equal(find(config, registry, repository), expected);
  });

test('DockerConfig does not quote a file that it cannot read', () => {
  assert.throws(
    () => new DockerConfig('{"auths": {"reg.test": {"auth": "c2VjcmV0" oops'),
    (error: Error) => !error.message.includes('c2Vj'),
  );
});
