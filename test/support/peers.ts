import { afterAll, beforeAll, describe } from '@jest/globals';
import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import { createInterface } from 'node:readline';
import { type Duplex } from 'node:stream';
import { type Dial } from 'nestjs-stomp/client';
import { StompError } from 'nestjs-stomp/server';
import { StompTestBroker } from 'nestjs-stomp-broker/testing';
import { brokers, CREDENTIALS, installed, start } from './peers/brokers.mjs';
import { Program } from './program.js';

/** How the strategy and the client proxy reach a broker; any StompClient, too. */
export type Reach = { readonly login: string; readonly passcode: string; readonly host?: string } & (
  { readonly url: string } | { readonly dial: Dial }
);

/** A broker that runs. */
export interface RunningPeer {
  readonly reach: Reach;
  /** Opens a connection, on which nothing is said yet. */
  dial(): Promise<Duplex>;
}

/** A broker that runs for one test alone. */
export interface OwnPeer extends RunningPeer {
  /** Ends it without a word and starts it again, where it was. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * What the brokers force to be different: the tests of the transport are the same for all of them but for this table.
 * ActiveMQ is set up to keep the dead letters of each queue apart; out of the box it has one queue for all of them, and
 * drops those that are not persistent.
 */
export interface Ways {
  /** The wildcard for the rest of a name, next to `*` for one level. */
  readonly rest: '#' | '>';
  /** What a NACK does: the message comes again, or goes to the dead letters at once. */
  readonly nack: 'again' | 'dead letters';
  /** Where a message goes that is refused for good; undefined where it is dropped unless a policy says otherwise. */
  deadLetters(queue: string): string | undefined;
  /** Whether subscriptions may have selectors; where not, the transport says so at the start. */
  readonly selectors: boolean;
  /** Whether messages may be delayed; where not, the transport refuses to send them. */
  readonly delays: boolean;
  /** Whether the more urgent of two waiting messages overtakes the other without the broker being set up for it. */
  readonly priorities: boolean;
  /** Whether messages that are not persistent outlive the broker's end, none of which is promised. */
  readonly keeps: 'persistent' | 'nothing';
}

export interface Peer {
  readonly name: string;
  readonly ways: Ways;
  /** The one broker of all tests. */
  start(): Promise<RunningPeer & { stop?: () => Promise<void> }>;
  /** A broker for one test, that may be ended. */
  startOwn(): Promise<OwnPeer>;
}

const OURS: Ways = {
  rest: '#',
  nack: 'again',
  deadLetters: (queue) => queue.replace('/queue/', '/queue/DLQ.'),
  selectors: true,
  delays: true,
  priorities: true,
  keeps: 'nothing',
};
const WAYS: Record<string, Ways> = {
  rabbitmq: {
    ...OURS,
    deadLetters: () => undefined,
    selectors: false,
    delays: false,
    priorities: false,
    keeps: 'persistent',
  },
  activemq: { ...OURS, rest: '>', nack: 'dead letters', priorities: false },
};

/** Our broker inside this process, reached without ports. */
const inProcess: Peer = {
  name: 'our broker in process',
  ways: OURS,
  start: () => Promise.resolve(runInProcess()),
  startOwn: () => Promise.resolve(runInProcess()),
};

function runInProcess(): OwnPeer {
  const run = () => {
    return new StompTestBroker({
      admission: {
        connect: (_session, frame) => {
          const right = frame.headers.get('login') === 'guest' && frame.headers.get('passcode') === 'guest';
          return right ? Promise.resolve() : Promise.reject(new StompError('the login or the passcode is wrong'));
        },
        use: () => Promise.resolve(),
      },
    });
  };
  let broker = run();
  const dial: Dial = (address, dialling) => broker.dial(address, dialling);
  const address = { secure: false, host: 'localhost', port: 61613 };
  return {
    reach: { ...CREDENTIALS, dial },
    dial: () => dial(address, { tls: undefined, connectTimeout: 0, signal: new AbortController().signal }),
    restart: async () => {
      broker.disconnectAll();
      await broker.close();
      broker = run();
    },
    stop: () => broker.close(),
  };
}

/** Our broker as a process of its own. */
const program: Peer = {
  name: 'stompserver',
  ways: OURS,
  start: () => runProgram(),
  startOwn: () => runProgram(),
};

async function runProgram(): Promise<OwnPeer> {
  const { login, passcode } = CREDENTIALS;
  const run = async (port: string) => {
    const started = Program.start(
      'stompserver',
      '--host',
      '127.0.0.1',
      '--port',
      port,
      '--users',
      `${login}:${passcode}`,
    );
    return { started, url: (await started.line(/stomp:\/\/\S+/))[0] };
  };
  let { started, url } = await run('0');
  const port = new URL(url).port;
  return {
    reach: { ...CREDENTIALS, url },
    dial: () => dialTcp(url),
    restart: async () => {
      started.signal('SIGKILL');
      await started.exited;
      ({ started, url } = await run(port));
    },
    stop: async () => void (await started.stop()),
  };
}

/** RabbitMQ or ActiveMQ: see peers/brokers.mjs. */
function foreign(name: string, title: string): Peer {
  return {
    name: title,
    ways: WAYS[name]!,
    start: async () => {
      check(name);
      const { error, url, ...credentials } = await ask(`start ${name}`);
      if (error !== undefined) throw new Error(error);
      return { reach: { url, host: '/', ...credentials } as Reach, dial: () => dialTcp(url!) };
    },
    startOwn: async () => {
      check(name);
      const { url, login, passcode, restart, stop } = await start(name);
      return { reach: { url, host: '/', login, passcode }, dial: () => dialTcp(url), restart, stop };
    },
  };
}

function check(name: string): void {
  if (installed(name)) return;
  throw new Error(`${name} is not installed: apt-get install --no-install-recommends ${brokers[name]!.debian}`);
}

async function ask(line: string): Promise<Record<string, string>> {
  const socket = connectTcp(Number(process.env.NESTJS_STOMP_PEERS), '127.0.0.1');
  socket.write(`${line}\n`);
  const [answer] = (await once(createInterface({ input: socket }), 'line')) as [string];
  return JSON.parse(answer) as Record<string, string>;
}

async function dialTcp(url: string): Promise<Duplex> {
  const { hostname, port } = new URL(url);
  const socket = connectTcp({ host: hostname, port: Number(port), allowHalfOpen: true, noDelay: true });
  await once(socket, 'connect');
  return socket;
}

/** What is not installed is left out, which the end of the run tells in one line; but not by CI, where it fails. */
const others = [foreign('rabbitmq', 'RabbitMQ'), foreign('activemq', 'ActiveMQ')].filter((_peer, index) => {
  const name = ['rabbitmq', 'activemq'][index]!;
  if (installed(name) || process.env.CI === 'true') return true;
  void ask(`missing ${name}`);
  return false;
});

export const peers: readonly Peer[] = [inProcess, program, ...others];

/** A suite for each broker. The broker that it is given runs while its tests do. */
export function describeEachPeer(title: string, suite: (peer: Peer, broker: () => RunningPeer) => void): void {
  describe.each(peers.map((peer) => ({ name: peer.name, peer })))(`${title} ($name)`, ({ peer }) => {
    let running: Awaited<ReturnType<Peer['start']>> | undefined;
    beforeAll(async () => (running = await peer.start()), 180_000);
    afterAll(() => running?.stop?.());
    suite(peer, () => running!);
  });
}
