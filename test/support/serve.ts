import { startIn } from './programs.js';
import { type Program } from './program.js';
import { RawPeer } from './raw.js';
import { handshake, watch } from './server.js';
import { type Headers, type RawFrame } from './wire.js';

/** stompserver as a process of its own, on a free port of loopback, for one test. */
export interface Served {
  readonly program: Program;
  readonly port: number;
  readonly url: string;
  /** A connection on which nothing was said yet. */
  open(from?: string): Promise<RawPeer>;
  connect(headers?: Headers): Promise<RawPeer>;
  /** The ERROR that a CONNECT with these headers gets. */
  refusal(headers?: Headers): Promise<RawFrame>;
}

export const serve = (...options: string[]): Promise<Served> => serveIn({}, ...options);

/** The same, with variables in its environment. */
export async function serveIn(env: NodeJS.ProcessEnv, ...options: string[]): Promise<Served> {
  const program = startIn(
    env,
    'stompserver',
    '--host',
    '127.0.0.1',
    ...(options.includes('--port') ? [] : ['--port', '0']),
    ...options,
  );
  const [, url = '', port = ''] = await program.line(/^listening (\S+:(\d+))$/);
  const open = async (from?: string) => watch(await RawPeer.connect(Number(port), '127.0.0.1', from));
  return {
    program,
    port: Number(port),
    url,
    open,
    connect: async (headers = {}) => {
      const peer = await open();
      await handshake(peer, '1.2', headers);
      return peer;
    },
    refusal: async (headers = {}) => {
      const peer = await open();
      peer.send('CONNECT', { 'accept-version': '1.2', host: 'h', ...headers });
      const error = await peer.refused();
      peer.end();
      return error;
    },
  };
}
