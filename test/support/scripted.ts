import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { DEADLINE, RawPeer } from './raw.js';
import { frame, type Headers, type RawFrame, type Version } from './wire.js';

/** A TCP server that does only what the test tells it to: each connection is handed out as a `RawPeer`. */
export class ScriptedServer {
  readonly #waiting: RawPeer[] = [];
  readonly #sockets = new Set<Socket>();

  private constructor(private readonly server: Server) {
    server.on('connection', (socket) => {
      this.#sockets.add(socket.once('close', () => this.#sockets.delete(socket)));
      this.#waiting.push(new RawPeer(socket));
      server.emit('waiting');
    });
  }

  static async listen(port = 0): Promise<ScriptedServer> {
    const server = createServer({ allowHalfOpen: true });
    const scripted = new ScriptedServer(server);
    await once(server.listen(port, '127.0.0.1'), 'listening');
    return scripted;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get url(): string {
    return `stomp://127.0.0.1:${this.port}`;
  }

  /** The next connection, whose opening frame is left to the test. */
  async accept(): Promise<RawPeer> {
    const signal = AbortSignal.timeout(DEADLINE);
    for (;;) {
      const peer = this.#waiting.shift();
      if (peer !== undefined) return peer;
      await once(this.server, 'waiting', { signal });
    }
  }

  /** The next connection after a handshake in this version, and the CONNECT frame that opened it. */
  async handshake(version: Version, headers: Headers = {}): Promise<{ peer: RawPeer; connect: RawFrame }> {
    const peer = await this.accept();
    const connect = await peer.take('CONNECT', ({ command }) => command === 'CONNECT' || command === 'STOMP');
    peer.version = version;
    peer.write(frame(version, 'CONNECTED', version === '1.0' ? headers : { version, ...headers }));
    return { peer, connect };
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
