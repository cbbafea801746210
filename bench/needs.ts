import {access, constants} from 'node:fs/promises';
import {delimiter, join} from 'node:path';
import {runCommand} from './run-command.ts';

/** Program → the Debian package that has it. */
const PROGRAMS: Readonly<Record<string, string>> = {
  cc: 'gcc',
  nginx: 'nginx',
  'docker-registry': 'docker-registry',
  openssl: 'openssl',
  ip: 'iproute2',
  containerd: 'containerd',
};

/** Installs what is missing, as root on Debian, and says so; otherwise says what is missing and goes on without. */
export async function needPrograms(say: (text: string) => void): Promise<void> {
  const missing: string[] = [];
  for (const [program, name] of Object.entries(PROGRAMS)) if (!(await isInstalled(program))) missing.push(name);
  if (missing.length === 0) return;
  const names = missing.join(' ');
  if (process.getuid?.() !== 0)
    return say(`! missing: ${names} (apt-get install ${names}, as root); what needs them is left out`);
  say(`installing what is missing, by apt-get: ${names}`);
  try {
    await runCommand(['apt-get', 'update', '-q']);
    await runCommand([
      'env',
      'DEBIAN_FRONTEND=noninteractive',
      'apt-get',
      'install',
      '-y',
      '-q',
      '--no-install-recommends',
      ...missing,
      ...(missing.includes('gcc') ? ['libc6-dev'] : []),
    ]);
  } catch (error) {
    say(`! could not install ${names}: ${(error as Error).message}`);
  }
}

/** Also where the path of a user who is not root does not reach. */
async function isInstalled(program: string): Promise<boolean> {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin'])
    if (
      await access(join(folder, program), constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return true;
  return false;
}
