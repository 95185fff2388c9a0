import { afterAll, beforeAll } from '@jest/globals';
import { Program } from '../support/program.js';
import { RawPeer } from '../support/raw.js';
import { type Headers, type Version } from '../support/wire.js';
import { foreign, watch } from './rules.js';

/**
 * The server under test: our own program, started for the spec file with these options and stopped after it, or the
 * one STOMP_URL names (stomp://user:passcode@host:port/vhost), to which the options mean nothing.
 */
export function target(...options: string[]): Target {
  const server = new Target();
  beforeAll(() => server.start(options));
  afterAll(() => server.stop());
  return server;
}

export class Target {
  #program: Program | undefined;
  #host = '';
  #port = 0;

  async start(options: string[]): Promise<void> {
    if (foreign) {
      this.#host = foreign.hostname.replace(/^\[|\]$/g, '');
      this.#port = Number(foreign.port || 61613);
      const peer = await this.open();
      peer.write(this.connectFrame('1.2', { 'accept-version': '1.0,1.1,1.2' }));
      await peer.take('CONNECTED', ({ command }) => command === 'CONNECTED');
      peer.destroy();
      return;
    }
    this.#program = Program.start('stompserver', '--host', '127.0.0.1', '--port', '0', ...options);
    const [, host = '', port] = await this.#program.line(/^listening stomp:\/\/(.+):(\d+)$/);
    this.#host = host;
    this.#port = Number(port);
  }

  async stop(): Promise<void> {
    const exit = await this.#program?.stop();
    if (exit && exit.code !== 0) {
      throw new Error(`the server ended with ${exit.code ?? exit.signal}\n${this.#program?.stderr}`);
    }
  }

  /** A connection on which nothing was said yet. */
  async open(): Promise<RawPeer> {
    return watch(await RawPeer.connect(this.#port, this.#host));
  }

  /** A session in this version. */
  async connect(version: Version, headers: Headers = {}): Promise<RawPeer> {
    const peer = await this.open();
    peer.write(this.connectFrame(version, headers));
    const connected = await peer.take('CONNECTED', ({ command }) => command === 'CONNECTED');
    const agreed = connected.header('version') ?? '1.0';
    if (agreed !== version) throw new Error(`CONNECTED with version ${agreed} rather than ${version}`);
    return peer;
  }

  /** What a CONNECT frame of this version needs to be accepted here, and these headers over it. */
  connectFrame(version: Version, headers: Headers = {}, command = 'CONNECT'): string {
    const negotiation: Headers = version === '1.0' ? {} : { 'accept-version': version };
    const all = { ...negotiation, ...this.credentials(version), ...headers };
    const lines = Object.entries(all).map(([name, value]) => `${name}:${value}\n`);
    return `${command}\n${lines.join('')}\n\0`;
  }

  /** The headers of CONNECT that say who comes, and to which virtual host. */
  credentials(version: Version): Headers {
    if (!foreign) return version === '1.0' ? {} : { host: 'localhost' };
    const login = decodeURIComponent(foreign.username);
    const passcode = decodeURIComponent(foreign.password);
    return { ...(login === '' ? {} : { login, passcode }), host: this.vhost };
  }

  get vhost(): string {
    return decodeURIComponent(foreign?.pathname.slice(1) ?? '') || foreign?.hostname || 'localhost';
  }
}
