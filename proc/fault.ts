import {constants} from 'node:os';

interface Fault {
  readonly point: string;
  /** `kill`, or the name of an errno. */
  readonly act: string;
  /** Strikes at this pass only, counted from 1; `undefined`: at each. */
  readonly at: number | undefined;
  passes: number;
}

// Read once: a fault is for a test's child process, not something that comes and goes.
const faults = parseFaults(process.env['NOOST_FAULT'] ?? '');

/** Whether anything is to go wrong in this process. */
export const isUnderTest = faults.length > 0;

/**
 * A named place where tests make the process die or a system call fail: `NOOST_FAULT=<point>=kill|<errno>[@n]`,
 * several with commas between them. Does nothing where the variable does not name the point.
 * @throws {Error} with `code` and `errno`, as `node:fs` would.
 */
export function fault(point: string): void {
  for (const fault of faults) if (fault.point === point) strike(fault);
}

function strike(fault: Fault): void {
  fault.passes++;
  if (fault.at !== undefined && fault.at !== fault.passes) return;
  if (fault.act === 'kill') die();
  const errno = constants.errno[fault.act as keyof typeof constants.errno]; // checked by parseFaults
  throw Object.assign(new Error(`${fault.act}: fault injected at ${fault.point}`), {code: fault.act, errno: -errno});
}

function die(): never {
  process.kill(process.pid, 'SIGKILL');
  // From a worker thread the signal may take a moment: nothing may happen after it.
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
}

/** @throws {SyntaxError} on anything else: a fault with a typing error would be a test that proves nothing. */
export function parseFaults(text: string): Fault[] {
  return text
    .split(',')
    .filter((part) => part !== '')
    .map((part) => {
      const [, point, act = '', at] = /^([a-z.]+)=(kill|E[A-Z0-9]+)(?:@([1-9][0-9]*))?$/.exec(part) ?? [];
      if (point === undefined || (act !== 'kill' && !(act in constants.errno)))
        throw new SyntaxError(`NOOST_FAULT: not a fault: ${part}`);
      return {point, act, at: at === undefined ? undefined : Number(at), passes: 0};
    });
}
