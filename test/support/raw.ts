import { EventEmitter, once } from 'node:events';
import { connect, Socket } from 'node:net';
import { type Duplex } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { frame, FrameReader, type Headers, type RawFrame, type Version } from './wire.js';

/** What does not come within this many milliseconds does not come. */
export const DEADLINE = 10_000;

let serial = 0;

/** A number, in letters, that no other call of this process gets: ids of receipts, subscriptions and the like. */
export const unique = (prefix: string): string => `${prefix}-${++serial}`;

/**
 * One end of a connection that speaks raw octets: it writes what it is told to and reads frames with the tests'
 * own reader. Every wait ends by an event or by the deadline, and a wait for a frame ends with an ERROR frame, too.
 */
export class RawPeer {
  /** Everything that was received so far. */
  received: Buffer = Buffer.alloc(0);
  readonly #reader = new FrameReader();
  readonly #changed = new EventEmitter().setMaxListeners(0);
  readonly #log: string[] = [];
  #frames: RawFrame[] = [];
  #beats: number[] = [];
  #malformed: Error | undefined;
  #endedAt: number | undefined;
  #reset: string | undefined;

  constructor(private readonly socket: Duplex) {
    if (socket instanceof Socket) socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('end', () => this.#end('FIN'));
    socket.on('error', (error: Error) => {
      if (this.#endedAt === undefined) this.#reset = error.message;
    });
    socket.on('close', () => this.#end(this.#reset ?? 'closed'));
  }

  /**
   * Its own side stays open when the other one ends, so that a FIN is seen for what it is.
   *
   * @param from its own address; on loopback there are many
   */
  static async connect(port: number, host = '127.0.0.1', from?: string): Promise<RawPeer> {
    const socket = connect({ port, host, localAddress: from, allowHalfOpen: true });
    const peer = new RawPeer(socket);
    await once(socket, 'connect', { signal: AbortSignal.timeout(DEADLINE) });
    return peer;
  }

  /** The version in CONNECTED; a scripted server sets it by hand. */
  get version(): Version | undefined {
    return this.#reader.version;
  }

  set version(version: Version | undefined) {
    this.#reader.version = version;
  }

  write(octets: string | Buffer): void {
    this.#note('>', Buffer.from(octets));
    this.socket.write(octets);
  }

  /** Writes the octets one by one, each as a segment of its own. */
  async drip(octets: string | Buffer): Promise<void> {
    this.#note('> (octet by octet)', Buffer.from(octets));
    for (const octet of Buffer.from(octets)) {
      await new Promise((resolve) => this.socket.write(Buffer.of(octet), resolve));
      await setImmediate();
    }
  }

  /** Writes a frame whose headers are escaped by the rules of the negotiated version. */
  send(command: string, headers: Headers = {}, body: string | Buffer = ''): void {
    this.write(frame(this.version ?? '1.0', command, headers, body));
  }

  /** Writes a frame that asks for a receipt, and waits for it. */
  async receipted(command: string, headers: Headers = {}, body: string | Buffer = ''): Promise<RawFrame> {
    const receipt = headers.receipt ?? unique('receipt');
    this.send(command, { ...headers, receipt }, body);
    return this.receipt(receipt);
  }

  receipt(id: string): Promise<RawFrame> {
    return this.take(`RECEIPT of ${id}`, (got) => got.command === 'RECEIPT' && got.header('receipt-id') === id);
  }

  /** Subscribes, and waits until the server has taken it. The id is made up where the version demands one. */
  async subscribe(destination: string, headers: Headers = {}): Promise<void> {
    const id: Headers = this.version === '1.0' ? {} : { id: unique('subscription') };
    await this.receipted('SUBSCRIBE', { destination, ...id, ...headers });
  }

  /** The next frame, whatever it is. */
  frame(): Promise<RawFrame> {
    return this.take('frame', () => true);
  }

  message(): Promise<RawFrame> {
    return this.take('MESSAGE', (got) => got.command === 'MESSAGE');
  }

  async messages(count: number): Promise<RawFrame[]> {
    const got: RawFrame[] = [];
    while (got.length < count) got.push(await this.message());
    return got;
  }

  /** The bodies of the next messages. */
  async texts(count: number): Promise<string[]> {
    return (await this.messages(count)).map((message) => message.text);
  }

  /** The first frame that matches; those before it stay where they are. */
  take(what: string, match: (frame: RawFrame) => boolean): Promise<RawFrame> {
    return this.#until(what, () => {
      const at = this.#frames.findIndex(match);
      if (at >= 0) return this.#frames.splice(at, 1)[0];
      const error = this.#frames.find((got) => got.command === 'ERROR');
      if (error) return new Error(`ERROR instead of ${what}: ${error.header('message') ?? error.text}`);
      return this.#endedAt === undefined ? undefined : new Error(`connection closed instead of ${what}`);
    });
  }

  /** An ERROR frame and then the end of the connection. */
  async refused(): Promise<RawFrame> {
    const error = await this.take('ERROR', (got) => got.command === 'ERROR');
    await this.closed();
    return error;
  }

  /** The other side's FIN; tells when it came, by `performance.now()`. */
  closed(): Promise<number> {
    return this.#until('end of the connection', () => {
      return this.#reset === undefined ? this.#endedAt : new Error(`connection broken, not ended: ${this.#reset}`);
    });
  }

  /** The next EOL between frames: when it came, by `performance.now()`. */
  beat(): Promise<number> {
    return this.#until('heart-beat', () => {
      const beat = this.#beats.shift();
      return beat ?? (this.#endedAt === undefined ? undefined : new Error('connection closed instead of a heart-beat'));
    });
  }

  async beats(count: number): Promise<number[]> {
    const got: number[] = [];
    while (got.length < count) got.push(await this.beat());
    return got;
  }

  /** What is still unread once a message of its own has gone round: all that earlier frames could have caused. */
  async rest(): Promise<RawFrame[]> {
    const destination = `/topic/${unique(`barrier-${process.pid}`)}`;
    const id: Headers = this.version === '1.0' ? {} : { id: unique('barrier') };
    await this.receipted('SUBSCRIBE', { destination, ...id });
    await this.receipted('SEND', { destination }, 'barrier');
    await this.take('barrier', (got) => got.command === 'MESSAGE' && got.header('destination') === destination);
    await this.receipted('UNSUBSCRIBE', this.version === '1.0' ? { destination } : id);
    return this.#frames.splice(0);
  }

  /** The headers by which this version's ACK and NACK name a message. */
  reference(message: RawFrame): Headers {
    const names: Array<[string, string]> =
      this.version === '1.2'
        ? [['id', 'ack']]
        : [
            ['message-id', 'message-id'],
            ...(this.version === '1.1' ? [['subscription', 'subscription'] as [string, string]] : []),
          ];
    return Object.fromEntries(
      names.map(([to, from]) => {
        const value = message.header(from);
        if (value === undefined) throw new Error(`MESSAGE without ${from}`);
        return [to, value];
      }),
    );
  }

  /** Reads no further until `resume`, so that the kernel's buffers fill up. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  /** Ends its own side, as a client does that has nothing more to say. */
  end(): void {
    this.#note('>', 'FIN');
    this.socket.end();
  }

  /** Goes away without a word. */
  destroy(): void {
    this.#note('>', 'gone');
    this.socket.destroy();
  }

  /** Both directions in the order of their octets, for the report of a failure. */
  transcript(): string {
    return this.#log.join('\n');
  }

  #read(chunk: Buffer): void {
    this.#note('<', chunk);
    this.received = Buffer.concat([this.received, chunk]);
    try {
      for (const got of this.#reader.push(chunk)) {
        if (got === 'EOL') this.#beats.push(performance.now());
        else this.#frames.push(got);
      }
    } catch (error) {
      this.#malformed ??= new Error(`malformed octets: ${(error as Error).message}`);
    }
    this.#changed.emit('change');
  }

  #end(how: string): void {
    if (this.#endedAt === undefined) this.#note('<', how);
    this.#endedAt ??= performance.now();
    this.#changed.emit('change');
  }

  /** Waits until `look` finds something; an error that it returns is thrown. */
  #until<T>(what: string, look: () => T | Error | undefined): Promise<T> {
    // Made here, so that it names the line that waits.
    const late = new Error(`no ${what} within ${DEADLINE} ms`);
    return new Promise<T>((resolve, reject) => {
      const done = (settle: () => void) => {
        clearTimeout(timer);
        this.#changed.off('change', check);
        settle();
      };
      const check = () => {
        const found = look() ?? this.#malformed;
        if (found instanceof Error) done(() => reject(found));
        else if (found !== undefined) done(() => resolve(found));
      };
      const timer = setTimeout(() => done(() => reject(late)), DEADLINE);
      this.#changed.on('change', check);
      check();
    });
  }

  #note(direction: string, octets: Buffer | string): void {
    const text = typeof octets === 'string' ? octets : JSON.stringify(octets.toString());
    this.#log.push(`${direction} ${text.length > 600 ? `${text.slice(0, 600)}... (${octets.length} octets)` : text}`);
  }
}
