import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type Duplex } from 'node:stream';
import { createServer as createTlsServer } from 'node:tls';
import { FrameReader } from './wire.js';

interface Link {
  readonly near: Socket;
  far: Duplex | undefined;
}

/**
 * A listener on loopback that passes connections on to a broker, and can cut and hold them. Everything but the wire
 * stays real.
 */
export class FaultProxy {
  readonly #links = new Set<Link>();
  readonly #sockets = new Set<Socket>();
  readonly #commands: string[] = [];
  #down = false;
  #held = false;
  #stalled = false;
  #delay = 0;

  private constructor(
    private readonly server: Server,
    dial: () => Promise<Duplex>,
    private readonly secure: boolean,
  ) {
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket.on('close', () => this.#sockets.delete(socket)));
    });
    server.on(secure ? 'secureConnection' : 'connection', (socket: Socket) => {
      socket.on('error', () => undefined);
      if (this.#down) socket.destroy();
      else void this.#link(socket, dial);
    });
  }

  /** @param tls a certificate and its key: the near side is TLS then */
  static async listen(dial: () => Promise<Duplex>, tls?: { cert: Buffer; key: Buffer }): Promise<FaultProxy> {
    const options = { allowHalfOpen: true, noDelay: true };
    const server = tls === undefined ? createServer(options) : createTlsServer({ ...options, ...tls });
    const proxy = new FaultProxy(server, dial, tls !== undefined);
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return proxy;
  }

  get url(): string {
    return `stomp${this.secure ? '+tls' : ''}://localhost:${this.port}`;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** How many connections stand. */
  get size(): number {
    return this.#links.size;
  }

  /** The commands of the frames that came by for the broker, in their order. */
  get commands(): readonly string[] {
    return this.#commands;
  }

  /** Settles when no connection stands: what came by before has been seen by the broker, which ended each of them. */
  async quiet(): Promise<void> {
    while (this.#links.size > 0) await Promise.all([...this.#links].map(({ near }) => once(near, 'close')));
  }

  /** Breaks all connections at once, in both directions. */
  cut(): void {
    for (const { near, far } of this.#links) {
      near.destroy();
      far?.destroy();
    }
  }

  /** Nobody gets through: what stands is cut, what comes is turned away. */
  down(): void {
    this.#down = true;
    this.cut();
  }

  up(): void {
    this.#down = false;
  }

  /** What the broker sends does not arrive any more, though everything stands. */
  holdReplies(): void {
    this.#held = true;
    for (const { far } of this.#links) far?.pause();
  }

  /** Nothing arrives any more, in neither direction, though everything stands. */
  stall(): void {
    this.#stalled = true;
    this.holdReplies();
    for (const { near } of this.#links) near.pause();
  }

  /** Whatever comes from now on is passed on so many ms later. */
  delay(ms: number): void {
    this.#delay = ms;
  }

  async close(): Promise<void> {
    this.cut();
    for (const socket of this.#sockets) socket.destroy(); // Those that came no further than the TLS handshake.
    await new Promise((resolve) => this.server.close(resolve));
  }

  async #link(near: Socket, dial: () => Promise<Duplex>): Promise<void> {
    const link: Link = { near, far: undefined };
    this.#links.add(link);
    near.on('close', () => {
      this.#links.delete(link);
      link.far?.destroy();
    });
    const far = await dial().catch(() => undefined);
    if (far === undefined || near.destroyed) {
      far?.destroy();
      near.destroy();
      return;
    }
    link.far = far;
    far.on('error', () => undefined).on('close', () => near.destroy());
    const reader = new FrameReader();
    near.on('data', (chunk: Buffer) => {
      for (const got of reader.push(chunk)) if (got !== 'EOL') this.#commands.push(got.command);
    });
    near.on('data', (chunk: Buffer) => {
      this.#later(() => {
        if (!far.destroyed && !far.write(chunk)) near.pause();
      });
    });
    far.on('drain', () => {
      if (!this.#stalled) near.resume();
    });
    near.on('end', () => this.#later(() => far.end()));
    far.on('data', (chunk: Buffer) => {
      this.#later(() => {
        if (!near.destroyed && !near.write(chunk)) far.pause();
      });
    });
    near.on('drain', () => {
      if (!this.#held) far.resume();
    });
    far.on('end', () => this.#later(() => near.end()));
  }

  #later(act: () => void): void {
    if (this.#delay === 0) act();
    else setTimeout(act, this.#delay);
  }
}
