import { describe, expect, it } from '@jest/globals';
import { ConnectionLostError, type StompMessage } from 'nestjs-stomp/client';
import { connectPair, deliver, gate, stateOf, takeAndConfirm, watchErrors, within } from '../../../support/client.js';

describe('heart-beats', () => {
  it('that are missed end the connection, and the client makes another', async () => {
    const heartbeat = { outgoing: 0, incoming: 20 };
    const { client, server, peer } = await connectPair('1.2', { heartbeat }, { 'heart-beat': '20,0' });
    const errors = watchErrors(client);
    const reason = await stateOf(client, 'connecting');
    expect(reason).toBeInstanceOf(ConnectionLostError);
    expect(reason?.message).toMatch(/^heart-beat missed: nothing was heard for \d+ ms$/);
    await server.handshake('1.2');
    await stateOf(client, 'connected');
    // A dead peer is not talked to: neither ERROR, which is no client's to send, nor DISCONNECT.
    expect(peer.received.toString()).not.toMatch(/ERROR|DISCONNECT/);
    expect(errors).toEqual([]);
  });

  it('fail what waits for a receipt', async () => {
    const heartbeat = { outgoing: 0, incoming: 20 };
    const { client } = await connectPair('1.2', { heartbeat, reconnect: false }, { 'heart-beat': '20,0' });
    client.on('error', () => undefined);
    await expect(client.publish('/queue/a', 'x')).rejects.toMatchObject({ code: 'connection-lost' });
  });

  it('are awaited by the larger of both wishes, with the tolerance on top', async () => {
    const started = performance.now();
    const options = { heartbeat: { outgoing: 0, incoming: 10 }, heartbeatTolerance: 3, reconnect: false as const };
    const { client } = await connectPair('1.2', options, { 'heart-beat': '50,0' });
    await stateOf(client, 'disconnected');
    expect(performance.now() - started).toBeGreaterThanOrEqual(149);
  });

  it('are made afresh with each connection', async () => {
    const { client, server, peer } = await connectPair(
      '1.2',
      { heartbeat: { outgoing: 10, incoming: 10 } },
      { 'heart-beat': '0,10' },
    );
    await peer.beats(2);
    peer.destroy();
    const { peer: next } = await server.handshake('1.2', { 'heart-beat': '0,0' });
    await stateOf(client, 'connected');
    const beating = { heartbeat: { outgoing: 10, incoming: 0 } };
    await (await connectPair('1.2', beating, { 'heart-beat': '0,10' })).peer.beats(4);
    expect(next.received.toString()).toMatch(/\0\n?$/);
    expect(client.state).toBe('connected');
  });

  it('are not missed while the client does not read on purpose, and go on the other way', async () => {
    const options = { heartbeat: { outgoing: 20, incoming: 200 } };
    const { client, peer } = await connectPair('1.2', options, { 'heart-beat': '200,20' });
    const first = gate();
    const taken: StompMessage[] = [];
    const handler = (message: StompMessage) => {
      taken.push(message);
      return first.promise;
    };
    client.subscribe('/queue/a', handler, { id: 's', concurrency: 1, buffer: 1 });
    await takeAndConfirm(peer, 'SUBSCRIBE');
    for (let i = 1; i <= 3; i++) deliver(peer, 's', i);
    await within('MESSAGE', untilTaken());
    // Silence for many intervals: the buffer is full, the server has nothing to say and is not heard anyway.
    await peer.beats(45);
    expect(client.state).toBe('connected');
    expect(taken).toHaveLength(1);
    first.open();
    // From now on the server is listened to again, and its silence counts.
    const reason = await stateOf(client, 'connecting');
    expect(reason?.message).toContain('heart-beat missed');
    expect(taken).toHaveLength(3);

    async function untilTaken() {
      while (taken.length === 0) await peer.beat();
    }
  });
});
