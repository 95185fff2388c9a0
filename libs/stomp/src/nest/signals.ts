/*
 * Nest's shutdown hooks take away what handlers need (database pools, for example) before they close transports. So at a
 * signal the transports finish first, and only then everybody else hears of it.
 *
 * An emitter calls all listeners that stood when it began, so it is of no use to take them away then: each is wrapped
 * as long as a transport listens, and what is called while transports finish is called when they have.
 */

/** What is to be done first. */
export interface Drain {
  /** Never fails. */
  start(): Promise<void>;
  /** There is no time left for it: the signal has come a second time. */
  cut(): void;
}

type Listener = NodeJS.SignalsListener & { listener?: NodeJS.SignalsListener };

/** One signal, with those who want to hear of it first. */
class Gate {
  readonly drains = new Set<Drain>();
  private readonly wrapped = new Map<Listener, Listener>();
  private waiting: (() => void)[] | undefined;

  constructor(private readonly signal: NodeJS.Signals) {}

  open(): void {
    process.prependListener(this.signal, this.first);
    process.on('newListener', this.onNewListener);
    this.wrap();
  }

  close(): void {
    process.off('newListener', this.onNewListener);
    process.off(this.signal, this.first);
    this.replace((listener) => this.wrapped.get(listener) ?? listener);
    this.wrapped.clear();
  }

  private readonly first = (): void => {
    if (this.waiting !== undefined) {
      for (const drain of this.drains) drain.cut();
      this.goOn();
      return;
    }
    this.waiting = [];
    void Promise.all([...this.drains].map((drain) => drain.start())).then(() => this.goOn());
  };

  /** Now the others; where there are none, the process ends by the signal as it would have. */
  private goOn(): void {
    const calls = this.waiting;
    this.waiting = undefined;
    if (calls === undefined) return;
    if (calls.length > 0) for (const call of calls) call();
    else {
      process.off(this.signal, this.first);
      process.kill(process.pid, this.signal);
    }
  }

  private readonly onNewListener = (name: string | symbol): void => {
    // It stands only after this, and no signal comes before that.
    if (name === this.signal) process.nextTick(() => this.wrap());
  };

  private wrap(): void {
    if (this.drains.size === 0) return;
    this.replace((listener) => {
      if (listener === this.first || this.wrapped.has(listener)) return listener;
      const later: Listener = (...args) => {
        // What was added by `once` removes itself, but would not find itself here.
        if (listener.listener !== undefined && this.wrapped.delete(later)) process.off(this.signal, later);
        if (this.waiting === undefined) listener(...args);
        else this.waiting.push(() => listener(...args));
      };
      later.listener = listener.listener ?? listener; // So that it can be removed by what it was added as.
      this.wrapped.set(later, listener);
      return later;
    });
  }

  private replace(by: (listener: Listener) => Listener): void {
    const listeners = process.rawListeners(this.signal) as Listener[];
    const replaced = listeners.map(by);
    if (replaced.every((listener, i) => listener === listeners[i])) return;
    process.off('newListener', this.onNewListener);
    process.removeAllListeners(this.signal);
    for (const listener of replaced) process.on(this.signal, listener);
    if (this.drains.size > 0) process.on('newListener', this.onNewListener);
  }
}

const gates = new Map<NodeJS.Signals, Gate>();

/**
 * At one of the signals, does something first and only then lets everybody else know of it. A second signal does not
 * wait.
 *
 * @returns a function that takes it back
 */
export function delayUntilDrained(signals: readonly NodeJS.Signals[], drain: Drain): () => void {
  for (const signal of signals) {
    const gate = gates.get(signal) ?? new Gate(signal);
    gates.set(signal, gate);
    gate.drains.add(drain);
    if (gate.drains.size === 1) gate.open();
  }
  return () => {
    for (const signal of signals) {
      const gate = gates.get(signal);
      if (gate?.drains.delete(drain) === true && gate.drains.size === 0) gate.close();
    }
  };
}
