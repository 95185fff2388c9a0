import { type Engine, LocalEngine, MemoryStore, type Policy } from 'nestjs-stomp-broker';
import { type Subject } from './holds.js';

type Backlog = ReturnType<MemoryStore['backlog']>;

/** A store that can be told to forget what is not persistent. */
class Forgetful extends MemoryStore {
  private readonly made = new Set<Backlog>();

  override backlog(queue: string): Backlog {
    const backlog = super.backlog(queue);
    this.made.add(backlog);
    return backlog;
  }

  forget(): void {
    for (const backlog of this.made) {
      for (const entry of backlog.sweep(({ message }) => message.headers.get('persistent') !== 'true')) {
        backlog.remove(entry);
      }
    }
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
