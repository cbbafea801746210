import assert from 'node:assert/strict';
import {test} from 'node:test';
import {ApiRig, DIGEST, newHosted, newImage} from '../api/rig.ts';
import {runCommand as run} from './rig.ts';

test('noost ls lists what is hosted beside what is cached, and alone with who pushed it', async () => {
  await using rig = await ApiRig.start();
  rig.hosted = newHosted(rig.asked);
  rig.images = [newImage('3')];
  const [head = '', ours = '', cached = ''] = (await run(['ls', '--data', rig.folder])).out.split('\n');
  assert.match(head, /^IMAGE +DIGEST +SIZE {2}STATE +USED$/);
  assert.match(ours, /^reg\.test\/team\/app:v1 +sha256:a{12} {2}2.00 KiB {2}hosted +\d+ d ago$/);
  assert.match(cached, /^docker\.io\/library\/alpine:3 .* complete /);
  const alone = await run(['ls', '--hosted', '--data', rig.folder]);
  assert.match(alone.out, /^IMAGE +DIGEST +SIZE +PUSHED {2}BY\nreg\.test\/team\/app:v1 .* d ago {2}alice\n$/);
  const json = JSON.parse((await run(['ls', '--json', '--data', rig.folder])).out) as Record<string, unknown[]>;
  assert.deepEqual([json['images']?.length, json['hosted']?.length], [1, 1]);
  assert.equal((await run(['ls', 'none', '--hosted', '--data', rig.folder])).err, 'No image matches\n');
});

test('noost du shows what is hosted, and uploads under way', async () => {
  await using rig = await ApiRig.start();
  rig.hosted = newHosted(rig.asked);
  const {out} = await run(['du', '--data', rig.folder]);
  assert.match(
    out,
    /\nHosted {6}2\.00 KiB: 1 repositories, 2 tags, 3 manifests, 4 blobs\nUploads {5}1 under way, 6 B\n$/,
  );
});

test('noost rm deletes what is hosted: by our own name, or when told so', async () => {
  await using rig = await ApiRig.start();
  rig.hosted = newHosted(rig.asked);
  const tag = await run(['rm', '--hosted', 'team/app:v1', '--data', rig.folder]);
  assert.equal(tag.out, 'Removed team/app:v1: tag v1\n');
  const manifest = await run(['rm', `reg.test/team/app@${DIGEST}`, '--data', rig.folder]);
  assert.equal(manifest.out, `Removed reg.test/team/app@${DIGEST}: tag a, tag b, manifest sha256:aaaaaaaaaaaa\n`);
  assert.deepEqual(rig.asked, ['remove team/app v1', `remove team/app ${DIGEST}`]);
  const frozen = await run(['rm', '--hosted', 'team/app:frozen', '--data', rig.folder]);
  assert.deepEqual([frozen.code, frozen.err], [1, 'noost: The tag frozen is immutable here\n']);
});

test('noost history shows who moved a tag, the newest first', async () => {
  await using rig = await ApiRig.start();
  rig.hosted = newHosted(rig.asked);
  const {out} = await run(['history', 'team/app:v1', '--data', rig.folder]);
  assert.equal(
    out,
    'WHEN                      WHO    FROM                 TO\n' +
      '1970-01-01T00:00:00.002Z  alice  sha256:bbbbbbbbbbbb  (deleted)\n' +
      '1970-01-01T00:00:00.001Z  –      (new)                sha256:bbbbbbbbbbbb\n',
  );
  const absent = await run(['history', 'team/app:v9', '--data', rig.folder]);
  assert.deepEqual([absent.code, absent.err], [4, 'noost: No such tag is or was hosted here: team/app:v9\n']);
});

test('noost gc says what was freed', async () => {
  await using rig = await ApiRig.start();
  const none = await run(['gc', '--data', rig.folder]);
  assert.equal(none.code, 4);
  assert.match(none.err, /hosts no images/);
  rig.hosted = newHosted(rig.asked);
  assert.equal((await run(['gc', '--data', rig.folder])).out, '4.00 KiB freed: 2 blobs, 1 abandoned uploads\n');
  assert.deepEqual(rig.asked, ['collect']);
});

test('noost gc --untagged lists what would go, removes it, and wants an age', async () => {
  await using rig = await ApiRig.start();
  rig.hosted = newHosted(rig.asked);
  const gc = (...more: string[]) => run(['gc', ...more, '--data', rig.folder]);
  const dry = await gc('--untagged', '30d', '--dry-run');
  assert.equal(dry.out, `team/app@${DIGEST}\n1 untagged manifests would be removed\n`);
  assert.deepEqual(rig.asked.splice(0), ['untagged 2592000000 true']);
  const done = await gc('--untagged', '30d');
  assert.equal(done.out, `Removed team/app@${DIGEST}\n4.00 KiB freed: 2 blobs, 1 abandoned uploads\n`);
  const wrong = await gc('--untagged', 'old');
  assert.deepEqual([wrong.code, /expected an age such as 30d/.test(wrong.err)], [2, true]);
  const alone = await gc('--dry-run');
  assert.deepEqual([alone.code, /--untagged 30d/.test(alone.err)], [2, true]);
});
