/** What a message carries besides its data. */
export interface StompRecordOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly persistent?: boolean;
  /** 0 to 9; 4 is normal. */
  readonly priority?: number;
  /** The moment at which the message expires, in ms since 1970. */
  readonly expires?: number;
  readonly contentType?: string;
  /** How long the broker holds the message back, in ms. */
  readonly delay?: number;
}

/** Data with what its message is to carry: to be emitted or sent, or returned by a handler as its reply. */
export class StompRecord<T = unknown> {
  constructor(
    readonly data: T,
    readonly options: StompRecordOptions = {},
  ) {}
}

/**
 * Builds a {@link StompRecord}.
 *
 * ```ts
 * client.emit('/topic/orders.new', new StompRecordBuilder(order).setHeaders({ region: 'EU' }).setPersistent().build());
 * ```
 */
export class StompRecordBuilder<T = unknown> {
  private options: StompRecordOptions = {};

  constructor(private data?: T) {}

  setData(data: T): this {
    this.data = data;
    return this;
  }

  /** Headers of the message; those of an earlier call stay unless named again. */
  setHeaders(headers: Readonly<Record<string, string>>): this {
    return this.set({ headers: { ...this.options.headers, ...headers } });
  }

  /** Whether the message has to survive the broker. */
  setPersistent(persistent = true): this {
    return this.set({ persistent });
  }

  /** @throws RangeError when it is not a whole number from 0 to 9 */
  setPriority(priority: number): this {
    if (!Number.isInteger(priority) || priority < 0 || priority > 9) {
      throw new RangeError('a priority is a whole number from 0 to 9');
    }
    return this.set({ priority });
  }

  /**
   * When the message expires.
   *
   * @param at a moment, or ms since 1970
   * @throws RangeError when it is neither
   */
  setExpires(at: Date | number): this {
    const expires = Number(at);
    if (!Number.isSafeInteger(expires) || expires < 0) throw new RangeError('a moment is a Date, or ms since 1970');
    return this.set({ expires });
  }

  /** The body's media type. With any but JSON, the data has to be a string or bytes, and goes out as it is. */
  setContentType(contentType: string): this {
    return this.set({ contentType });
  }

  /**
   * How long the broker holds the message back, where it can.
   *
   * @param delay in ms
   * @throws RangeError when it is not a whole number of ms
   */
  setDelay(delay: number): this {
    if (!Number.isSafeInteger(delay) || delay < 0) throw new RangeError('a delay is a whole number of milliseconds');
    return this.set({ delay });
  }

  build(): StompRecord<T> {
    return new StompRecord(this.data as T, this.options);
  }

  private set(options: StompRecordOptions): this {
    this.options = { ...this.options, ...options };
    return this;
  }
}
