import assert from 'node:assert/strict';
import {test} from 'node:test';
import fc from 'fast-check';
import {parseImageReference, printImageReference} from './image-reference.ts';

const A = `sha256:${'a'.repeat(64)}`;
const LONG = `sha512:${'b'.repeat(128)}`;

/** As written → the one spelling. Numbers are those of policy-peers §7. */
const READ: Readonly<Record<string, string>> = {
  nginx: 'docker.io/library/nginx:latest', // 5
  'library/nginx': 'docker.io/library/nginx:latest',
  'docker.io/nginx': 'docker.io/library/nginx:latest',
  'docker.io/library/nginx': 'docker.io/library/nginx:latest',
  'index.docker.io/nginx': 'docker.io/library/nginx:latest',
  'index.docker.io/library/nginx': 'docker.io/library/nginx:latest',
  'registry-1.docker.io/library/nginx': 'docker.io/library/nginx:latest', // 6
  'registry.hub.docker.com/acme/app:1': 'docker.io/acme/app:1',
  'user/img:1.2': 'docker.io/user/img:1.2',
  'a/b/c': 'docker.io/a/b/c:latest',
  'docker.io/library': 'docker.io/library/library:latest',
  'localhost:5000': 'docker.io/library/localhost:5000', // without a slash there is no registry
  'ghcr.io': 'docker.io/library/ghcr.io:latest',
  auto: 'docker.io/library/auto:latest', // 32
  'my_org/app': 'docker.io/my_org/app:latest', // 22
  '2130706433/app': 'docker.io/2130706433/app:latest',
  'localhost/x': 'localhost/x:latest', // 10
  'localhost:5000/x': 'localhost:5000/x:latest',
  '127.0.0.1:5000/x': '127.0.0.1:5000/x:latest',
  '[::1]:5000/x': '[::1]:5000/x:latest',
  '[0:0:0:0:0:0:0:1]:5000/x': '[::1]:5000/x:latest',
  '[2001:DB8::1]/x': '[2001:db8::1]/x:latest',
  'ghcr.io:443/a/b': 'ghcr.io/a/b:latest', // 11
  'localhost:443/x': 'localhost:443/x:latest', // where nothing is said, runtimes speak plain HTTP there
  '127.0.0.1:443/x': '127.0.0.1:443/x:latest',
  'ghcr.io:80/a/b': 'ghcr.io:80/a/b:latest',
  'registry:5000/x': 'registry:5000/x:latest',
  'GHCR.io/a/b': 'ghcr.io/a/b:latest',
  'xn--dcker-jta.io/x': 'xn--dcker-jta.io/x:latest', // 12: a name like any other
  'ghcr.io/a/b:V1.0_x-y': 'ghcr.io/a/b:V1.0_x-y',
  [`ghcr.io/a/b@${A}`]: `ghcr.io/a/b@${A}`,
  [`ghcr.io/a/b:1@${A}`]: `ghcr.io/a/b:1@${A}`, // 17
  [`nginx@${A}`]: `docker.io/library/nginx@${A}`,
  [`nginx:latest@${LONG}`]: `docker.io/library/nginx:latest@${LONG}`, // 19
  'a/b--c__d.e_f': 'docker.io/a/b--c__d.e_f:latest',
  [`ghcr.io/${'a'.repeat(247)}`]: `ghcr.io/${'a'.repeat(247)}:latest`,
  [`x:${'t'.repeat(128)}`]: `docker.io/library/x:${'t'.repeat(128)}`,
};

for (const [written, canonical] of Object.entries(READ))
  test(`parseImageReference() reads ${written.slice(0, 60)} as ${canonical.slice(0, 60)}`, () => {
    const image = parseImageReference(written);
    assert.equal(printImageReference(image), canonical);
    assert.deepEqual(parseImageReference(canonical), image);
  });

/** What is refused → what the error says. */
const REFUSED: Readonly<Record<string, RegExp>> = {
  '': /is empty/, // 15
  'MYREG/foo': /registry without a dot/, // 8
  'LOCALHOST/x': /spells localhost with upper case/,
  'Localhost:5000/x': /spells localhost/,
  'Docker.io/library/nginx': /spells docker\.io with upper case/,
  'INDEX.docker.io/nginx': /spells index\.docker\.io/,
  'docker.io:443/library/nginx': /gives a port to docker\.io/,
  'registry-1.docker.io/nginx': /names no namespace of Docker Hub.*docker\.io\/library\/nginx/, // 6
  '[::1%25eth0]:5000/x': /registry/, // 10
  '[fe80::1%25eth0]/x': /registry/,
  '[:]/x': /no valid host/,
  '[::ffff:1.2.3.4]/x': /registry/,
  'ghcr.io:0443/x': /no valid port/, // 11
  'ghcr.io:65536/x': /no valid port/,
  'ghcr.io:0/x': /no valid port/,
  'ghcr.io:/x': /registry/,
  'dоcker.io/library/nginx': /not ASCII/, // 12: a Cyrillic о
  'docker。io/library/nginx': /not ASCII/,
  'https://ghcr.io/x': /registry|repository/, // 13
  'http://localhost/x': /registry|repository/,
  'user@ghcr.io/x': /digest after the "@"/,
  'user:secret@ghcr.io/x': /digest after the "@"/,
  'ghcr.io/x?y': /repository/,
  'ghcr.io/../x': /repository/,
  '../x': /registry|repository/,
  './x': /registry|repository/,
  '/x': /repository/,
  'a//b': /repository/,
  'ghcr.io/a/': /repository/,
  'ghcr.io/': /repository/,
  'ghcr.io/a%2fb': /repository/,
  'ghcr.io\\x': /repository/,
  ' nginx': /blank/, // 14
  'nginx ': /blank/,
  'nginx\t': /blank/,
  'nginx\n': /blank/,
  'nginx\0': /blank/,
  'ngi\u200bnx': /not ASCII/,
  'ghcr.io/a/b\u00a0': /not ASCII/,
  'ghcr.io/A/b': /repository/,
  Nginx: /repository/,
  'ghcr.io/a/b:': /tag after the ":"/,
  'ghcr.io/a/b:-x': /tag/,
  [`x:${'t'.repeat(129)}`]: /tag/,
  'x@': /digest/, // 19
  [`x@md5:${'a'.repeat(32)}`]: /digest/,
  [`x@sha384:${'a'.repeat(96)}`]: /digest/,
  [`x@sha256:${'A'.repeat(64)}`]: /digest/,
  'x@sha256:aaaa': /digest/,
  [`x@${A}@${A}`]: /digest/,
  [`x@${A}:1`]: /digest/,
  [A]: /image ID/, // containerd takes it for one of its own images
  ['a'.repeat(64)]: /image ID/,
  'sha256:abcdef': /image ID/,
  '127.1/x': /no valid host/, // what a resolver takes for an address in another notation (B-023)
  '0x7f.1/x': /no valid host/,
  '010.0.0.1/x': /no valid host/,
  'a.2130706433/x': /no valid host/,
  'docker.io./x': /registry/,
  'my_reg.example/x': /registry/,
  '-a.example/x': /registry/,
  [`${'a'.repeat(64)}.example/x`]: /host/,
  [`ghcr.io/${'a'.repeat(248)}`]: /255/,
  [`docker.io/${'a'.repeat(247)}`]: /255/,
  [`x:${'a'.repeat(9999)}`]: /longer/,
};

for (const [written, message] of Object.entries(REFUSED))
  test(`parseImageReference() refuses ${JSON.stringify(written.slice(0, 60))}`, () => {
    assert.throws(
      () => parseImageReference(written),
      (error) => error instanceof SyntaxError && message.test(error.message),
    );
  });

/** References of the grammar, and a little beyond it. */
const written = fc
  .tuple(
    fc.constantFrom(
      '',
      'docker.io/',
      'index.docker.io/',
      'registry-1.docker.io/',
      'ghcr.io/',
      'GHCR.IO:443/',
      'localhost/',
      'localhost:443/',
      '[::1]:5000/',
      '[0::1]/',
      '10.0.0.1:5000/',
      'a.b.c:65535/',
      'my_org/',
      'Reg/',
    ),
    fc.array(fc.constantFrom('a', 'library', 'b-c', 'd__e', 'f.g', '7', 'nginx', 'x'.repeat(90)), {
      minLength: 1,
      maxLength: 4,
    }),
    fc.constantFrom('', ':latest', ':V1', ':_', ':1.2-rc.3', ':', ':-'),
    fc.constantFrom('', `@${A}`, `@${LONG}`, '@sha256:ab', `@sha384:${'a'.repeat(96)}`),
  )
  .map(([registry, path, tag, digest]) => `${registry}${path.join('/')}${tag}${digest}`);

test('printing and reading again gives the same image, and the one spelling is its own', () => {
  let read = 0;
  fc.assert(
    fc.property(written, (text) => {
      let image;
      try {
        image = parseImageReference(text);
      } catch (error) {
        assert.ok(error instanceof SyntaxError);
        return;
      }
      read++;
      const canonical = printImageReference(image);
      assert.deepEqual(parseImageReference(canonical), image);
      assert.equal(printImageReference(parseImageReference(canonical)), canonical);
    }),
    {numRuns: 3000},
  );
  assert.ok(read > 500, `only ${read} were read`);
});

test('whatever text there is, the answer is an image or a SyntaxError', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({unit: 'binary', maxLength: 40}),
        fc.string({unit: fc.constantFrom(...Array.from('aA0.:/@-_[]*% sha256')), maxLength: 40}),
      ),
      (text) => {
        try {
          assert.match(
            printImageReference(parseImageReference(text)),
            /^[a-z0-9.:[\]-]+\/[a-z0-9._/-]+(?::[\w.-]+)?(?:@sha(?:256|512):[a-f0-9]+)?$/,
          );
        } catch (error) {
          if (!(error instanceof SyntaxError)) throw error;
        }
      },
    ),
    {numRuns: 5000},
  );
});
