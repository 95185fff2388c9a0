import { createServer as createTcpServer, type AddressInfo, type Server as NetServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer, Server as TlsServer, type TlsOptions } from 'node:tls';
import { encodeFrame } from '../frame/encoder.js';
import { formatStompUrl, STOMP_PORT } from '../wire/url.js';
import { plainAddress } from './address.js';
import type { Broker } from './broker.js';
import { type ConnectionLimits, Entrance, type Guest } from './entrance.js';
import { errorFrame, StompError, toStompError } from './error.js';
import { type ResolvedOptions, resolveOptions, type SessionOptions } from './options.js';
import { readProxyHeader } from './proxy.js';
import { Session } from './session.js';
import { socketUnder, whyNoTls } from './tls.js';

export interface StompServerOptions extends SessionOptions, ConnectionLimits {
  /** What turns SENDs into deliveries. */
  broker: Broker;
  /**
   * Says whether that address may connect at all; by default any may. The refused get no answer. It is asked when a
   * connection is taken, and once more when TLS has shaken hands.
   */
  admits?: (address: string) => boolean;
}

export interface ListenOptions {
  /** 61613 by default; 0 takes a free one. */
  port?: number;
  /** An address or name of this machine; loopback by default. */
  host?: string;
  /** Options of node:tls: the listener speaks TLS, 1.2 and up. */
  tls?: TlsOptions;
  /**
   * Which peers are proxies, by their address: they begin each connection with a header of the PROXY protocol (1 or
   * 2) that names the client. A header of anybody else is none. No peer is one by default.
   */
  proxy?: (address: string) => boolean;
}

/** Something that takes connections. */
export interface Listener {
  /** Where it listens, for example `stomp://127.0.0.1:61613`. */
  readonly url: string;
  readonly port: number;
  /**
   * Takes other certificates for the connections to come; those that are open stay as they are.
   *
   * @throws Error when they do not load, or the listener speaks no TLS
   */
  renew(tls: TlsOptions): void;
}

/** How long what comes before the first frame may take each, where there is no limit for the login, in ms. */
const HANDSHAKE_TIMEOUT = 10_000;
/** How long a refused client may take to read why, in ms. */
const REFUSAL_LINGER = 2_000;
/** So many refused clients are told why at a time; others are cut off. */
const MOST_REFUSALS = 100;
/** How often slow frames are looked for, as a part of the time that they may take. */
const LOOKS = 4;

/**
 * Listens, and runs a session for each connection. What the sessions do with messages is up to the broker.
 *
 * ```ts
 * const server = new StompServer({ broker });
 * const { url } = await server.listen({ port: 0 });
 * ```
 */
export class StompServer {
  private readonly live = new Set<Session>();
  private readonly listeners = new Map<Listener, NetServer>();
  // Every connection that was taken, also those that shake hands for TLS or are being refused.
  private readonly sockets = new Set<Socket>();
  private readonly broker: Broker;
  private readonly options: ResolvedOptions;
  private readonly entrance: Entrance;
  private refusals = 0;
  /** Sessions over streams that came by no listener. */
  private accepted = 0;
  private watch: NodeJS.Timeout | undefined;
  private readonly admits: ((address: string) => boolean) | undefined;
  private closed: Promise<void> | undefined;
  private idle: (() => void) | undefined;

  constructor(options: StompServerOptions) {
    const { broker, admits, ...rest } = options;
    this.broker = broker;
    this.entrance = new Entrance(options, (address, error) => this.turnAway(address, error));
    this.admits = admits;
    this.options = resolveOptions(rest);
  }

  /** The sessions of the moment, those that are still opening among them. */
  get sessions(): ReadonlySet<Session> {
    return this.live;
  }

  /** What takes connections at the moment. */
  get listening(): Listener[] {
    return [...this.listeners.keys()];
  }

  /** Where the server listens. */
  get urls(): string[] {
    return [...this.listeners.keys()].map(({ url }) => url);
  }

  /**
   * Opens a listener.
   *
   * @throws Error when the port is in use, the address is none of this machine's, or the certificate does not load
   */
  listen(options: ListenOptions = {}): Promise<Listener> {
    const { port = STOMP_PORT, host = '127.0.0.1', tls, proxy } = options;
    let latest = tls;
    const common = { allowHalfOpen: true, noDelay: true };
    // By the addresses and ports of both ends: a TLS socket hides the one it is made of.
    const guests = new Map<string, Guest>();
    // Once a connection is closed, nobody can tell who its client was.
    const clients = new WeakMap<Socket, string>();
    const take = (socket: Socket) => {
      socket.allowHalfOpen = true;
      const guest = guests.get(nameOf(socket));
      // Its address may have been denied while TLS shook hands.
      if (tls !== undefined && guest !== undefined && !this.allows(guest.address)) socket.destroy();
      else this.take(socket, guest);
    };
    const server: NetServer =
      tls === undefined
        ? createTcpServer(common)
        : createTlsServer(
            {
              minVersion: 'TLSv1.2',
              handshakeTimeout: this.patience,
              ...tls,
              ...common,
              SNICallback: (name, done) => (latest?.SNICallback ?? takeDefault)(name, done),
            },
            take,
          );
    // What makes a TLS connection of a TCP connection is a listener, too.
    const open = tls === undefined ? [take] : (server.listeners('connection') as ((socket: Socket) => void)[]);
    server.removeAllListeners('connection');
    const { sockets } = this;
    // One function for all of them, as idle connections are to be small.
    function forget(this: Socket) {
      sockets.delete(this);
    }
    server.on('connection', (socket: Socket) => {
      sockets.add(socket);
      socket.on('close', forget);
      const own = plainAddress(socket.remoteAddress);
      const go = (address: string | undefined) => {
        const guest = this.admit(socket, address, tls !== undefined);
        if (guest === undefined) return;
        const name = nameOf(socket);
        guests.set(name, guest);
        if (tls !== undefined) {
          clients.set(socket, guest.address);
          // Nothing comes of a handshake whose client has nothing more to say.
          socket.allowHalfOpen = false;
        }
        socket.once('close', () => guests.delete(name));
        for (const each of open) each.call(server, socket);
      };
      if (proxy?.(own ?? '') !== true) go(own);
      else this.unwrap(socket, (client) => go(client ?? own));
    });
    // A handshake that fails is the client's trouble; without this it would be an unhandled error of the server.
    server.on('tlsClientError', (error: Error, socket: Socket) => {
      const address = clients.get(socketUnder(socket)) ?? plainAddress(socket.remoteAddress);
      const refusal = whyNoTls(error, socket);
      const why = refusal?.detail ?? 'the client has gone';
      this.options.log?.log(2, `${address ?? 'unknown'} TLS handshake failed: ${why}`);
      if (refusal !== undefined) this.broker.turnedAway?.(address, refusal);
      socket.destroy();
    });
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port, host }, () => {
        server.off('error', reject);
        server.on('error', (error) => this.options.log?.log(0, `listener failed: ${String(error)}`));
        const address = server.address() as AddressInfo;
        const url = formatStompUrl({ secure: tls !== undefined, host: address.address, port: address.port });
        const renew = (renewed: TlsOptions) => {
          if (!(server instanceof TlsServer)) throw new Error(`the listener ${url} speaks no TLS`);
          server.setSecureContext({ minVersion: 'TLSv1.2', ...renewed });
          latest = renewed;
        };
        const listener = { url, port: address.port, renew };
        this.listeners.set(listener, server);
        resolve(listener);
      });
    });
  }

  /**
   * Runs a session over a stream that is open already, for example one end of an in-memory pair.
   *
   * @param address the client's, where it is not the other end of a socket
   */
  accept(stream: Duplex, address?: string): Session {
    return this.run(stream, address);
  }

  /**
   * Stops listening, tells the sessions with an ERROR that the server shuts down, and waits until they are over.
   *
   * @param deadline how long to wait before the remaining connections are cut, in ms; 5,000 by default
   */
  close(deadline = 5_000): Promise<void> {
    this.closed ??= this.shutDown(deadline);
    return this.closed;
  }

  private async shutDown(deadline: number): Promise<void> {
    const closed = [...this.listeners.values()].map((server) => new Promise((resolve) => server.close(resolve)));
    this.listeners.clear();
    clearInterval(this.watch);
    for (const session of this.live) session.refuse(new StompError('server is shutting down'));
    const timer = setTimeout(() => {
      for (const session of this.live) session.connection.destroy();
      for (const socket of this.sockets) socket.destroy();
    }, deadline);
    if (this.live.size > 0) await new Promise<void>((resolve) => (this.idle = resolve));
    await Promise.all(closed);
    clearTimeout(timer);
  }

  /** How long TLS may shake hands, and a proxy take to say who its client is, in ms. */
  private get patience(): number {
    return this.options.loginTimeout || HANDSHAKE_TIMEOUT;
  }

  /** Reads what a proxy says of its client, then goes on as if that had come by itself. */
  private unwrap(socket: Socket, go: (client: string | undefined) => void): void {
    readProxyHeader(socket, this.patience).then(
      (client) => {
        if (!socket.destroyed) go(client);
      },
      (error: Error) => {
        const address = plainAddress(socket.remoteAddress);
        this.turnAway(address, new StompError('malformed PROXY header', error.message));
        socket.destroy();
      },
    );
  }

  /** Whether a connection may be had at all: before TLS, whose handshake would cost more than it is worth. */
  private admit(socket: Socket, address: string | undefined, secure: boolean): Guest | undefined {
    if (address === undefined || this.closed !== undefined) {
      socket.destroy();
      return undefined;
    }
    if (!this.allows(address)) {
      socket.destroy();
      return undefined;
    }
    try {
      return this.entrance.enter(socket, address, this.accepted);
    } catch (error) {
      const told = toStompError(error);
      this.turnAway(address, told);
      if (secure || this.refusals >= MOST_REFUSALS) socket.destroy();
      else this.refuse(socket, told);
      return undefined;
    }
  }

  private allows(address: string): boolean {
    if (this.admits?.(address) !== false) return true;
    this.turnAway(address, new StompError('address not allowed', 'the address is not allowed'));
    return false;
  }

  private turnAway(address: string | undefined, error: StompError): void {
    this.options.log?.log(2, `${address ?? 'unknown'} refused: ${error.detail}`);
    this.broker.turnedAway?.(address, error);
  }

  private refuse(socket: Socket, error: StompError): void {
    this.refusals++;
    socket.on('error', () => undefined);
    socket.end(encodeFrame(errorFrame(error, undefined, undefined)));
    socket.resume();
    const linger = setTimeout(() => socket.destroy(), REFUSAL_LINGER);
    socket.once('close', () => {
      this.refusals--;
      clearTimeout(linger);
    });
  }

  private take(socket: Socket, guest: Guest | undefined): void {
    if (guest === undefined || this.closed !== undefined) socket.destroy();
    else guest.session = this.run(socket, guest.address, guest);
  }

  private run(stream: Duplex, address?: string, guest?: Guest): Session {
    const watcher = {
      connected: () => {
        if (guest !== undefined) this.entrance.admitted(guest);
      },
      ended: (session: Session) => {
        this.live.delete(session);
        if (guest === undefined) this.accepted--;
        if (this.live.size === 0) this.idle?.();
      },
    };
    if (guest === undefined) this.accepted++;
    const session = new Session(stream, this.broker, this.options, watcher, address, guest?.since);
    this.live.add(session);
    const { frameTimeout } = this.options;
    if (frameTimeout > 0) {
      this.watch ??= setInterval(() => {
        for (const each of this.live) each.checkFrame();
      }, frameTimeout / LOOKS).unref();
    }
    return session;
  }
}

/** The certificate of the listener, whatever name the client has for it. */
const takeDefault: NonNullable<TlsOptions['SNICallback']> = (_name, done) => done(null);

/** A peer may use one port towards several addresses of this machine. */
function nameOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
