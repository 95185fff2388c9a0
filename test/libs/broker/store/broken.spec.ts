import { expect, it } from '@jest/globals';
import { LocalEngine, MemoryStore } from 'nestjs-stomp-broker';
import type { ServerLog } from 'nestjs-stomp/server';
import { join, makeBroker } from '../../../support/broker.js';
import { type RawPeer } from '../../../support/raw.js';

/** What a store of one's own may do wrong: throw where it was not to. */
class BrokenStore extends MemoryStore {
  broken = '';

  override sync(...args: Parameters<MemoryStore['sync']>): void {
    if (this.broken === 'sync') throw new Error('the store broke');
    super.sync(...args);
  }

  override backlog(...args: Parameters<MemoryStore['backlog']>): ReturnType<MemoryStore['backlog']> {
    const backlog = super.backlog(...args);
    for (const name of ['push', 'shift', 'count', 'remove', 'restore'] as const) {
      const method = backlog[name].bind(backlog) as (...args: unknown[]) => never;
      Object.defineProperty(backlog, name, {
        configurable: true,
        value: (...args: unknown[]) => {
          if (this.broken === name) throw new Error('the store broke');
          return method(...args);
        },
      });
    }
    return backlog;
  }
}

const destination = '/queue/broken';

// Each has a message that it has not acknowledged, and another that waits for credit.
it.each<[string, string, (peer: RawPeer, ack: Record<string, string>) => void]>([
  ['push', 'a SEND', (peer) => peer.send('SEND', { destination, receipt: 'r' }, 'x')],
  ['sync', 'an ACK with a receipt', (peer, ack) => peer.send('ACK', { ...ack, receipt: 'r' })],
  ['sync', 'a DISCONNECT', (peer) => peer.send('DISCONNECT', { receipt: 'r' })],
  ['remove', 'an ACK', (peer, ack) => peer.send('ACK', ack)],
  ['count', 'a NACK', (peer, ack) => peer.send('NACK', ack)],
  ['restore', 'a NACK', (peer, ack) => peer.send('NACK', ack)],
  ['shift', 'an ACK that makes room for a message', (peer, ack) => peer.send('ACK', ack)],
])('a store whose %s throws at %s ends the session with an ERROR, and is told of', async (broken, _, act) => {
  const lines: string[] = [];
  const log: ServerLog = { level: 0, log: (_level, line) => void lines.push(line) };
  const store = new BrokenStore();
  const broker = await makeBroker({ engine: new LocalEngine(store), log });
  const [peer, other] = [await join(broker), await join(broker)];
  for (const text of ['one', 'two']) await other.receipted('SEND', { destination }, text);
  await peer.subscribe(destination, { ack: 'client-individual', 'prefetch-count': '1' });
  const message = await peer.message();

  store.broken = broken;
  act(peer, peer.reference(message));
  const error = await peer.refused();
  expect(error.header('message')).toBe('internal error');
  // Nothing of it is for the client.
  expect(error.text).not.toContain('broke\n');
  expect(lines.join('\n')).toContain('internal error: Error: the store broke');

  store.broken = '';
  await other.receipted('SEND', { destination: '/queue/whole' }, 'x');
  await other.subscribe('/queue/whole');
  expect(await other.texts(1)).toEqual(['x']);
});
