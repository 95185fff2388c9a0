import { afterEach, jest } from '@jest/globals';
import { setImmediate } from 'node:timers/promises';
import { StompClient, type StompClientOptions, type StompState } from 'nestjs-stomp/client';
import { DEADLINE, type RawPeer, unique } from './raw.js';
import { ScriptedServer } from './scripted.js';
import { type Headers, type RawFrame, type Version } from './wire.js';

const clients: StompClient[] = [];
const servers: ScriptedServer[] = [];
const spies: { mockRestore(): void }[] = [];

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.disconnect({ deadline: 0 })));
  await Promise.all(servers.splice(0).map((server) => server.close()));
  for (const spy of spies.splice(0)) spy.mockRestore();
  // A rejection that nobody handles fails the test: Jest sees to that, while the test runs.
  await setImmediate();
});

/** Short waits, and all the same length, so that tests need not wait for chance. */
export const PROMPT = { initialDelay: 5, maxDelay: 5, jitter: 0 };

/** A client of one test, disconnected after it. Its connections are made again at once. */
export function makeClient(options: StompClientOptions = {}): StompClient {
  const client = new StompClient({ reconnect: PROMPT, ...options });
  clients.push(client);
  return client;
}

/** A scripted server of one test, closed after it. */
export async function makeServer(port?: number): Promise<ScriptedServer> {
  const server = await ScriptedServer.listen(port);
  servers.push(server);
  return server;
}

/** A port on which nobody listens. */
export async function deadUrl(): Promise<string> {
  const server = await ScriptedServer.listen();
  const { url } = server;
  await server.close();
  return url;
}

export interface Pair {
  readonly client: StompClient;
  readonly server: ScriptedServer;
  readonly peer: RawPeer;
  readonly connect: RawFrame;
}

/** A client that is connected to a scripted server in that version. */
export async function connectPair(
  version: Version = '1.2',
  options: StompClientOptions = {},
  connected: Headers = {},
): Promise<Pair> {
  const server = await makeServer();
  const client = makeClient({ url: server.url, heartbeat: { outgoing: 0, incoming: 0 }, ...options });
  const opened = client.connect();
  const { peer, connect } = await server.handshake(version, connected);
  await opened;
  return { client, server, peer, connect };
}

/** Waits for a frame of that command, and sends the receipt that it asks for. */
export async function takeAndConfirm(peer: RawPeer, command: string): Promise<RawFrame> {
  const frame = await peer.take(command, (got) => got.command === command);
  const receipt = frame.header('receipt');
  if (receipt !== undefined) peer.send('RECEIPT', { 'receipt-id': receipt });
  return frame;
}

/** Waits until the client has dealt with all that was sent to it, and what it said to that has come in. */
export async function settle(client: StompClient, peer: RawPeer): Promise<void> {
  for (const destination of [unique('/queue/barrier'), unique('/queue/barrier')]) {
    const published = client.publish(destination);
    const sent = await peer.take('barrier', (got) => got.header('destination') === destination);
    peer.send('RECEIPT', { 'receipt-id': sent.header('receipt')! });
    await within('receipt', published);
  }
}

/** Answers DISCONNECT as a server does. */
export async function answerDisconnect(peer: RawPeer): Promise<RawFrame> {
  const frame = await takeAndConfirm(peer, 'DISCONNECT');
  peer.end();
  return frame;
}

/** A MESSAGE frame as servers of that version send it to a subscription. */
export function deliver(
  peer: RawPeer,
  subscription: string,
  number: number,
  body = `m${number}`,
  headers: Headers = {},
): void {
  const ack: Headers = peer.version === '1.2' ? { ack: `ack-${number}` } : {};
  peer.send(
    'MESSAGE',
    { subscription, 'message-id': `id-${number}`, destination: '/queue/a', ...ack, ...headers },
    body,
  );
}

/** The states that a client goes through from now on, with their reasons. */
export function watchStates(client: StompClient): { state: StompState; reason: string | undefined }[] {
  const states: { state: StompState; reason: string | undefined }[] = [];
  client.on('state', (state, reason) => states.push({ state, reason: reason?.message }));
  return states;
}

/** Resolves when the client is in that state; at once when it is. */
export async function stateOf(client: StompClient, wanted: StompState): Promise<Error | undefined> {
  return client.state === wanted
    ? client.reason
    : within(
        `the state ${wanted}`,
        new Promise((resolve) => {
          client.on('state', (state, reason) => {
            if (state === wanted) resolve(reason);
          });
        }),
      );
}

/** The errors that the client emits from now on. */
export function watchErrors(client: StompClient): Error[] {
  const errors: Error[] = [];
  client.on('error', (error) => errors.push(error));
  return errors;
}

/** The process warnings from now on, kept from the terminal. */
export function watchWarnings(): (string | Error)[] {
  const warnings: (string | Error)[] = [];
  spies.push(jest.spyOn(process, 'emitWarning').mockImplementation((warning) => void warnings.push(warning)));
  return warnings;
}

/** What a promise fails with; an error when it does not. */
export async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await within('a failure', promise);
  } catch (error) {
    if (error instanceof Error) return error;
    throw new Error(`what was thrown is no error: ${String(error)}`, { cause: error });
  }
  throw new Error('the promise did not fail');
}

/** The same promise, with a deadline. */
export async function within<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Error(`no ${what} within ${DEADLINE} ms`);
  try {
    return await Promise.race([
      promise,
      new Promise<never>((_resolve, reject) => (timer = setTimeout(() => reject(late), DEADLINE))),
    ]);
  } finally {
    clearTimeout(timer);
  }
}

/** A promise, and the function that resolves it. */
export function gate<T = void>(): { readonly promise: Promise<T>; open: (value: T) => void } {
  let open!: (value: T) => void;
  const promise = new Promise<T>((resolve) => (open = resolve));
  return { promise, open };
}
