/**
 * At a signal, does something first and only then lets everybody else know of it.
 *
 * Nest's shutdown hooks take away what handlers need (database pools, for example) before they close transports. So
 * the listeners that stand at the time of the signal are set aside until `drain` is done, then called as if the signal
 * came now; where there are none, the process ends by the signal as it would have. A second signal does not wait.
 *
 * @returns a function that takes it back
 */
export function delayUntilDrained(signals: readonly NodeJS.Signals[], drain: () => Promise<void>): () => void {
  const watch = (signal: NodeJS.Signals) => {
    const others = process.rawListeners(signal).filter((listener) => listener !== watch) as NodeJS.SignalsListener[];
    for (const listener of others) process.off(signal, listener);
    const goOn = () => {
      unwatch();
      process.off(signal, goOn);
      for (const listener of others) process.on(signal, listener);
      if (others.length > 0) process.emit(signal, signal);
      else process.kill(process.pid, signal);
    };
    process.off(signal, watch);
    process.on(signal, goOn);
    drain().then(goOnOnce, goOnOnce);
    function goOnOnce() {
      if (process.listeners(signal).includes(goOn)) goOn();
    }
  };
  const unwatch = () => {
    for (const signal of signals) process.off(signal, watch);
  };
  for (const signal of signals) process.prependListener(signal, watch);
  return unwatch;
}
