// What the system knows of processes.
import { readFileSync } from 'node:fs';

/** Seconds of CPU time that those processes have taken, all threads of each. */
export function cpuTime(pids) {
  let ticks = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [, user, system] = /\) (?:\S+ ){11}(\d+) (\d+)/.exec(stat);
    ticks += Number(user) + Number(system);
  }
  return ticks / 100;
}

/** KiB of memory of those processes. */
export function memoryOf(pids) {
  const of = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))[1]);
  return pids.map(of).reduce((a, b) => a + b, 0);
}

/** KiB that a process has had at most. */
export const peakOf = (pid) => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))[1]);
