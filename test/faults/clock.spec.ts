import { describe, expect, it, jest } from '@jest/globals';
import { makeClient, within } from '../support/client.js';
import { unique } from '../support/raw.js';
import { serveIn, type Served } from '../support/serve.js';

jest.setTimeout(60_000);

const HOURS = 10 * 3_600_000;
/** Sets the clock of the day of a process by so many ms with each signal, one after the other. */
const clockOf = (...steps: number[]) =>
  `const now=Date.now,steps=${JSON.stringify(steps)};let off=0;Date.now=()=>now()+off;` +
  `process.on('SIGUSR2',()=>{off+=steps.shift();process.stderr.write('clock set by '+off+'\\n')})`;

/** A broker whose clock is set by these steps, and what makes it take the next one. */
async function serveByClock(steps: readonly number[], ...options: string[]) {
  const code = encodeURIComponent(clockOf(...steps));
  const server: Served = await serveIn({ NODE_OPTIONS: `--import=data:text/javascript,${code}` }, ...options);
  let off = 0;
  let at = 0;
  const set = async () => {
    off += steps[at++]!;
    server.program.signal('SIGUSR2');
    await server.program.says(new RegExp(`clock set by ${off}\\n`));
  };
  return { server, set };
}

describe('a clock that is set while the broker runs, by hours, forth and back,', () => {
  it('costs no connection and no message, and no delay is longer for it', async () => {
    const steps = [HOURS, -2 * HOURS, HOURS];
    const heartbeats = ['--heartbeat-in', '1000', '--heartbeat-out', '1000', '--heartbeat-tolerance', '4'];
    const { server, set } = await serveByClock(steps, ...heartbeats);
    const heartbeat = { outgoing: 1_000, incoming: 1_000 };
    const client = makeClient({ url: server.url, heartbeat, heartbeatTolerance: 4 });
    await client.connect();
    const peer = await server.connect();
    const destination = unique('/queue/clock');
    const got: string[] = [];
    const changed: (() => void)[] = [];
    client.subscribe(destination, ({ text }) => {
      got.push(text);
      for (const each of changed) each();
    });
    const until = (length: number) =>
      within(
        `${length} messages`,
        new Promise<void>((resolve) => {
          const look = () => got.length >= length && resolve();
          changed.push(look);
          look();
        }),
      );
    for (const index of steps.keys()) {
      await peer.receipted('SEND', { destination: `${destination}-kept` }, `kept ${index}`);
      await peer.receipted('SEND', { destination, 'x-delay': '2000' }, `sent before ${index}`);
      await set();
      await peer.receipted('SEND', { destination }, `at once ${index}`);
      await peer.receipted('SEND', { destination, 'x-delay': '50' }, `later ${index}`);
      await until(3 * (index + 1));
    }
    for (const what of ['sent before', 'at once', 'later']) {
      expect(got.filter((text) => text.startsWith(what))).toHaveLength(3);
    }
    expect(client.reason).toBeUndefined();
    await peer.subscribe(`${destination}-kept`);
    expect(await peer.texts(3)).toEqual(['kept 0', 'kept 1', 'kept 2']);
  });

  it('ends no message before the clock says so, and then it does', async () => {
    const { server, set } = await serveByClock([-HOURS, 2 * HOURS]);
    const peer = await server.connect();
    const destination = unique('/queue/clock');
    await peer.receipted('SEND', { destination, expiration: String(HOURS / 2) }, 'for five hours');
    await peer.receipted('SEND', { destination }, 'for ever');
    await set();
    await peer.subscribe(destination, { id: '1', ack: 'client' });
    expect(await peer.texts(2)).toEqual(['for five hours', 'for ever']);
    await peer.receipted('UNSUBSCRIBE', { id: '1' });
    await set();
    const other = await server.connect();
    peer.end();
    await other.subscribe(destination);
    expect(await other.texts(1)).toEqual(['for ever']);
  });

  const wrong = { login: 'ann', passcode: 'wrong' };
  const right = { login: 'ann', passcode: 'one' };
  const BLOCKED = 'too many logins have failed: try again later';
  const users = ['--users', 'ann:one', '--lockout-failures', '2'];

  it('opens no way for who guesses passwords', async () => {
    const { server, set } = await serveByClock([HOURS], ...users, '--lockout-time', '60000');
    for (let times = 0; times < 2; times++) await server.refusal(wrong);
    expect((await server.refusal(right)).text.trim()).toBe(BLOCKED);
    await set();
    expect((await server.refusal(right)).text.trim()).toBe(BLOCKED);
  });

  it('shuts nobody out for longer', async () => {
    const { server, set } = await serveByClock([-HOURS], ...users, '--lockout-time', '2000');
    for (let times = 0; times < 2; times++) await server.refusal(wrong);
    await set();
    const answer = async () => {
      const peer = await server.open();
      peer.send('CONNECT', { 'accept-version': '1.2', host: 'h', ...right });
      const { command } = await peer.frame();
      peer.end();
      return command;
    };
    await within(
      'a login that counts',
      (async () => {
        while ((await answer()) !== 'CONNECTED');
      })(),
    );
  });
});
