import { describe, expect, it, jest } from '@jest/globals';
import { join, joinAll, leave, makeBroker } from '../../../support/broker.js';
import { type RawPeer } from '../../../support/raw.js';
import { type Headers } from '../../../support/wire.js';

jest.setTimeout(60_000);

const QUEUE = '/queue/a';
/** Far less than it took when each of many asked all the others, and far more than it takes; in ms of CPU time. */
const SOON = 400;

/** CPU time of this process, in ms: what others do on the machine is not in it. */
async function costOf(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

/** Waits until all was done that was sent before. */
const settled = (peer: RawPeer) => peer.receipted('SEND', { destination: '/topic/nobody' });

async function subscribeAll(peer: RawPeer, count: number, headersOf: (n: number) => Headers): Promise<void> {
  for (let n = 0; n < count; n++) peer.send('SUBSCRIBE', headersOf(n));
  await settled(peer);
}

describe('however many there are, others are not held up by', () => {
  it('the end of consumers of a queue with many groups', async () => {
    const broker = await makeBroker();
    const [owner, crowd, sender] = (await joinAll(broker, 3)) as [RawPeer, RawPeer, RawPeer];
    await owner.subscribe(QUEUE);
    for (let n = 0; n < 10_000; n++) sender.send('SEND', { destination: QUEUE, JMSXGroupID: String(n) });
    await owner.messages(10_000);
    await subscribeAll(crowd, 4_000, (n) => ({ id: String(n), destination: QUEUE }));
    expect(await costOf(() => leave(crowd))).toBeLessThan(SOON);
  });

  it('the end of queues beside subscriptions to patterns of others', async () => {
    const broker = await makeBroker();
    const [crowd, owner] = (await joinAll(broker, 2)) as [RawPeer, RawPeer];
    await subscribeAll(crowd, 9_900, (n) => ({ id: String(n), destination: `/queue/of.others.${n}.*` }));
    for (let n = 0; n < 9_900; n++) owner.send('SEND', { destination: `/temp-queue/${n}` });
    await settled(owner);
    expect(await costOf(() => leave(owner))).toBeLessThan(SOON);
  });

  it('subscriptions of 1.0 that end by their destination', async () => {
    const peer = await join(await makeBroker(), '1.0');
    await subscribeAll(peer, 8_000, (n) => ({ destination: `/topic/${n}` }));
    const destination = '/topic/again';
    const cost = await costOf(async () => {
      for (let n = 0; n < 4_000; n++) {
        peer.send('SUBSCRIBE', { destination });
        peer.send('UNSUBSCRIBE', { destination });
      }
      await settled(peer);
    });
    expect(cost).toBeLessThan(2 * SOON);
  });

  it('consumers of a queue that collects from topics but for what its own consumers send', async () => {
    const broker = await makeBroker();
    const [crowd, owner, sender] = (await joinAll(broker, 3)) as [RawPeer, RawPeer, RawPeer];
    const levels = Array.from({ length: 9 }, (_, level) => level);
    for (let n = 0; n < 2 ** levels.length; n++) {
      const pattern = levels.map((level) => ((n >> level) % 2 === 1 ? '*' : 'a')).join('.');
      owner.send('SUBSCRIBE', { id: 'x', destination: `/topic/${pattern}`, 'x-queue-name': 'a', 'no-local': 'true' });
      owner.send('UNSUBSCRIBE', { id: 'x' });
    }
    await settled(owner);
    const collect = () =>
      costOf(async () => {
        for (let n = 0; n < 100; n++) sender.send('SEND', { destination: `/topic/${levels.map(() => 'a').join('.')}` });
        await settled(sender);
      });
    const alone = await collect();
    await subscribeAll(crowd, 8_000, (n) => ({
      id: String(n),
      destination: QUEUE,
      ack: 'client',
      'prefetch-count': '1',
    }));
    expect(await collect()).toBeLessThan(2 * alone + 100);
  });
});
