import { type Engine, LocalEngine, MemoryStore, type Policy } from 'nestjs-stomp-broker';
import { type Subject } from './holds.js';

type Backlog = ReturnType<MemoryStore['backlog']>;
type Entry = ReturnType<Backlog['push']>;

/** A store that can be told to forget what is not persistent. */
class Forgetful extends MemoryStore {
  private readonly made = new Set<Backlog>();
  private readonly forgotten = new WeakSet<Entry>();
  private readonly pushed = new Set<Entry>();

  override backlog(queue: string): Backlog {
    const backlog = super.backlog(queue);
    if (this.made.has(backlog)) return backlog;
    this.made.add(backlog);
    const push = backlog.push.bind(backlog);
    const restore = backlog.restore.bind(backlog);
    const remove = backlog.remove.bind(backlog);
    backlog.push = (message, source) => {
      const entry = push(message, source);
      this.pushed.add(entry);
      return entry;
    };
    backlog.remove = (entry) => {
      this.pushed.delete(entry);
      remove(entry);
    };
    // Its delay after a NACK goes on.
    backlog.restore = (entry) => {
      if (!this.forgotten.has(entry)) restore(entry);
    };
    return backlog;
  }

  forget(): void {
    for (const entry of this.pushed) {
      const { message, holder } = entry;
      // A store that is on disk would bring it back.
      if (holder !== undefined) throw new Error(`${message.headers.get('name')} is held, and nobody is there`);
      if (message.headers.get('persistent') === 'true') continue;
      this.forgotten.add(entry);
      this.pushed.delete(entry);
    }
    for (const backlog of this.made) backlog.sweep((entry) => this.forgotten.has(entry));
  }
}

/** An engine that goes on over restarts: what is to survive them does, and the rest is taken from it. */
export function kept(policies: readonly Policy[]): Subject {
  const store = new Forgetful();
  const engine: Engine = new LocalEngine(store, policies);
  const stop = engine.stop.bind(engine);
  engine.stop = () => Promise.resolve();
  return {
    engine,
    restart: async (end) => {
      await end();
      store.forget();
      return engine;
    },
    end: stop,
  };
}
