import {readdirSync, readFileSync, writeFileSync} from 'node:fs';

/** USER_HZ, in which /proc counts processor time; 100 on every Linux that Node runs on. @see proc(5) */
const TICKS_PER_SECOND = 100;

/** What a process and its children take. @see proc(5) */
export interface Usage {
  /** User and system time since they started. */
  readonly cpuSeconds: number;
  readonly residentBytes: number;
  /** Sum of each process's highest, since it started or `forgetPeak`. */
  readonly peakBytes: number;
  readonly threads: number;
  readonly descriptors: number;
}

/** Of `pid` and all processes below it. Shared pages count once for each. */
export function readUsage(pid: number): Usage {
  let usage: Usage = {cpuSeconds: 0, residentBytes: 0, peakBytes: 0, threads: 0, descriptors: 0};
  for (const each of familyOf(pid)) {
    const one = readOne(each);
    if (one === undefined) continue; // it ended meanwhile
    usage = {
      cpuSeconds: usage.cpuSeconds + one.cpuSeconds,
      residentBytes: usage.residentBytes + one.residentBytes,
      peakBytes: usage.peakBytes + one.peakBytes,
      threads: usage.threads + one.threads,
      descriptors: usage.descriptors + one.descriptors,
    };
  }
  return usage;
}

/** Begins the peak of resident memory anew. */
export function forgetPeak(pid: number): void {
  for (const each of familyOf(pid)) writeFileSync(`/proc/${each}/clear_refs`, '5');
}

/** Processor seconds that the whole machine has been busy. */
export function readBusySeconds(): number {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND;
}

function familyOf(pid: number): readonly number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const each = Number(name);
    const stat = Number.isInteger(each) ? readStat(each) : undefined;
    if (stat !== undefined) parents.set(each, Number(stat[1]));
  }
  const family = [pid];
  for (const member of family) for (const [each, parent] of parents) if (parent === member) family.push(each);
  return family;
}

/** Fields from the third (state) on: the second, the name, may hold spaces. */
function readStat(pid: number): readonly string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

function readOne(pid: number): Usage | undefined {
  const stat = readStat(pid);
  if (stat === undefined) return undefined;
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);
    return {
      cpuSeconds: (Number(stat[11]) + Number(stat[12])) / TICKS_PER_SECOND,
      residentBytes: field('VmRSS') * 1024,
      peakBytes: field('VmHWM') * 1024,
      threads: field('Threads'),
      descriptors: readdirSync(`/proc/${pid}/fd`).length,
    };
  } catch {
    return undefined;
  }
}
