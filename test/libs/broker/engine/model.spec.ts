import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DiskStore, LocalEngine, MemoryStore, type Policy } from 'nestjs-stomp-broker';
import { holds, type Subject } from './model/holds.js';

holds('LocalEngine on a MemoryStore', (policies) => ({ engine: new LocalEngine(new MemoryStore(), policies) }));

/** @param memory octets of waiting messages that stay in memory */
function onDisk(policies: readonly Policy[], memory?: number): Subject {
  const directory = mkdtempSync(join(tmpdir(), 'model-'));
  const open = () =>
    new LocalEngine(new DiskStore({ directory, sync: 'never', ...(memory === undefined ? {} : { memory }) }), policies);
  return {
    engine: open(),
    restart: async (stop) => {
      await stop();
      return open();
    },
    end: () => Promise.resolve(rmSync(directory, { recursive: true, force: true })),
  };
}

holds('LocalEngine on a DiskStore', (policies) => onDisk(policies));
holds('LocalEngine on a DiskStore with little memory', (policies) => onDisk(policies, 0));
