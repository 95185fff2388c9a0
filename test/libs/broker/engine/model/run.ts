/* Clients that do what they are told, and the model beside them that knows what should come of it. */
import { jest } from '@jest/globals';
import { setImmediate } from 'node:timers/promises';
import { StompBroker } from 'nestjs-stomp-broker';
import { StompError } from 'nestjs-stomp/server';
import { DEADLINE } from '../../../../support/raw.js';
import { handshake, openPair } from '../../../../support/server.js';
import { type Headers, type RawFrame, type Version } from '../../../../support/wire.js';
import { Client, type Subscribed, type Transaction } from './client.js';
import { type Command, type Mix } from './commands.js';
import { type Subject } from './holds.js';
import { Model } from './model.js';
import { type Answer, type Arrival, type Place, type Post } from './parts.js';
import { COLLECTOR, KEEPS_EXPIRED, matches, VIRTUAL } from './places.js';
import { headersOf, writePost } from './posts.js';

const VERSIONS: readonly Version[] = ['1.2', '1.0', '1.1'];
/** Until then what an ended subscription holds can be acknowledged, in ms. */
const LATE = 1_000;
/** Steps of the clock, in ms: now and then one in which whatever is idle would go. */
const TICKS = [500, 1_500, 1_500, 4_500, 500, 1_500, 4_500, 61_000];
const BARRIER = '/topic/barrier';
/** So many turns of the event loop are enough for all that is done in turns. */
const TURNS = 32;

/** A durable subscription; another selector makes another one. */
interface Durable {
  readonly name: string;
  readonly above: number;
  readonly place: Place;
}

export class Run {
  /** What was said, for the report of a failure. */
  readonly log: string[] = [];
  private readonly model = new Model(
    () => Date.now(),
    ({ kind, name }) => kind === 'durable' || name === KEEPS_EXPIRED,
  );
  private readonly durables = new Map<string, Durable>();
  private clients: Client[] = [];
  private serial = 0;
  /** The moment at which the running step began. */
  private since = Date.now();

  private constructor(
    private broker: StompBroker,
    private readonly subject: Subject,
    private readonly mix: Mix,
  ) {}

  static async start(subject: Subject, mix: Mix): Promise<Run> {
    const run = new Run(new StompBroker({ engine: subject.engine }), subject, mix);
    await run.broker.start();
    for (let i = 0; i < 4; i++) await run.connect(VERSIONS[i % 3]!);
    return run;
  }

  async do({ kind, n }: Command): Promise<void> {
    const able = this.clients.filter((one) => one.canDo(kind));
    const client = able[n[0]! % able.length];
    if (client === undefined) return;
    this.since = Date.now();
    switch (kind) {
      case 'send':
        this.send(client, n);
        break;
      case 'subscribe':
        this.subscribe(client, n);
        break;
      case 'unsubscribe':
        this.unsubscribe(client, n, false);
        break;
      case 'purge':
        this.unsubscribe(client, n, true);
        break;
      case 'ack':
      case 'nack':
      case 'reject':
        this.answer(client, n, { kind, delay: kind === 'nack' ? [undefined, 0, 0, 3_000][n[4]! % 4] : undefined });
        break;
      case 'begin':
        client.transaction = { id: this.next('tx'), parts: [], bound: [] };
        this.say(client, 'BEGIN', { transaction: client.transaction.id });
        break;
      case 'commit':
      case 'abort':
        this.finish(client, kind);
        break;
      case 'tick':
        this.tick(TICKS[n[1]! % TICKS.length]!);
        break;
      case 'restart':
        await this.restart(n[1]!);
        break;
      case 'disconnect':
      case 'break':
        await this.leave(client, kind);
        await this.connect(VERSIONS[n[1]! % 3]!);
        break;
    }
    await this.settle();
  }

  /** Accounts for every message: what waits anywhere comes to a fresh consumer. */
  async drain(): Promise<void> {
    this.since = Date.now();
    for (const client of [...this.clients]) {
      await this.leave(client, 'disconnect');
      // What it gave back goes to those who are left.
      await this.settle();
    }
    const last = await this.connect('1.2');
    for (let i = 0; i < 3; i++) {
      this.since = Date.now();
      this.tick(20_000);
      await this.settle();
    }
    // Who takes dead letters comes last, because others may make some.
    const queues = ['/queue/a', '/queue/b', '/queue/w.1', '/queue/w.2', VIRTUAL];
    const letters = [...queues, COLLECTOR, '/queue/d1', '/queue/d2'].map((one) =>
      one.replace('/queue/', '/queue/DLQ.'),
    );
    for (const name of [...queues, 'f', 'd1', 'd2', ...letters]) {
      if (!name.startsWith('d') || this.durables.has(name)) this.take(last, name, {});
      await this.settle();
      // What has expired may be found only now.
      this.tick(1_500);
      await this.settle();
    }
    for (const { state, name, place, due } of this.model.all) {
      if (state !== 'gone' && place.kind !== 'topic' && due !== Infinity)
        throw new Error(`${name} of ${place.name} is ${state} at the end`);
    }
  }

  async close(): Promise<void> {
    for (const { session } of this.clients) session.destroy();
    await this.broker.close(0);
  }

  private async connect(version: Version): Promise<Client> {
    const { peer, session } = openPair(this.broker);
    await handshake(peer, version);
    const client = new Client(this.next('c'), peer, session, version);
    this.log.push(`${client.name} connects with ${version}`);
    this.clients.push(client);
    return client;
  }

  private send(client: Client, n: readonly number[]): void {
    const { model, mix } = this;
    const { post, delay } = writePost(this.next('m'), mix, n, this.subject.restart !== undefined);
    const { inside, also } = client.transact(n[1]!);
    const later = n[11]! % 2 === 0 ? 'AMQ_SCHEDULED_DELAY' : 'x-delay';
    const headers = { ...headersOf(post), ...(delay > 0 && { [later]: String(delay) }), ...also };
    this.say(client, 'SEND', headers, post.empty ? '' : post.name);
    const done = () => (delay > 0 ? model.schedule(post, delay, client) : model.send(post, client));
    if (inside === undefined) done();
    else inside.parts.push(done);
  }

  private subscribe(client: Client, n: readonly number[]): void {
    const { from, exclusive } = this.mix;
    const modes =
      client.version === '1.0'
        ? (['auto', 'client', 'client'] as const)
        : (['auto', 'client', 'client-individual', 'client-individual'] as const);
    this.take(client, from[n[2]! % from.length]!, {
      ack: modes[n[3]! % modes.length]!,
      prefetch: 1 + (n[4]! % 4),
      above: n[5]! % 2 === 0 ? undefined : n[5]! % 4,
      exclusive: exclusive > 0 && n[6]! % exclusive === 0,
      priority: exclusive > 0 ? [0, 0, 5][n[7]! % 3]! : 0,
      noLocal: n[8]! % 3 === 0,
    });
  }

  private take(client: Client, source: string, asked: Partial<Subscribed> & { noLocal?: boolean }): void {
    const { model } = this;
    const { ack = 'auto', prefetch = 100, exclusive = false, priority = 0, noLocal = false } = asked;
    let { above } = asked;
    const id = this.next('s');
    const headers: Headers = { id, destination: source, ack, 'prefetch-count': String(prefetch) };
    let place: Place | undefined;
    const sources = source.split(',');
    let takes = ({ name, kind }: Place) => kind === 'queue' && sources.some((one) => matches(one, name));
    if (source.startsWith('/queue/')) {
      if (exclusive) headers.exclusive = 'true';
      if (priority > 0) headers['x-priority'] = String(priority);
      for (const one of sources) if (!one.includes('*')) model.place(one);
      if (source === VIRTUAL) this.collect(VIRTUAL, '/topic/VirtualTopic.v', VIRTUAL);
    } else if (source === 'f') {
      const fed = (place = this.collect(COLLECTOR, '/topic/t.#'));
      Object.assign(headers, { destination: '/topic/t.#', 'x-queue-name': COLLECTOR.slice('/queue/'.length) });
      takes = (one) => one === fed;
    } else {
      if (source.startsWith('/topic/')) {
        const own = (place = model.place(`topic of ${id}`, 'topic'));
        if (noLocal) headers['no-local'] = 'true';
        const passes = (post: Post, publisher?: object) =>
          (above === undefined || post.x > above) && !(noLocal && publisher === client);
        model.listen({
          place: own,
          accepts: (topic, post, publisher) => matches(source, topic) && passes(post, publisher),
        });
      } else {
        const durable = this.durable(source, above);
        ({ place, above } = durable);
        Object.assign(headers, { destination: '/topic/t.#', 'durable-subscription-name': source });
      }
      takes = (one) => one === place;
    }
    if (above !== undefined) headers.selector = `x > ${above}`;
    this.say(client, 'SUBSCRIBE', headers);
    const terms = { exclusive: headers.exclusive === 'true', priority: Number(headers['x-priority'] ?? 0) };
    const reader: Subscribed = {
      id,
      takes,
      ack,
      prefetch,
      above,
      ...terms,
      place,
      held: [],
      abandoned: false,
      left: 0,
    };
    client.readers.push(reader);
    model.readers.add(reader);
  }

  /** A queue that collects what comes to topics, from its first subscription on. */
  private collect(name: string, topics: string, as?: string): Place {
    const place = this.model.place(name);
    const accepts = (topic: string) => matches(topics, topic);
    if (as !== undefined) this.model.feeds.set(place, { place, accepts, as });
    else if (!this.model.feeds.has(place)) this.model.listen({ place, accepts });
    return place;
  }

  /** The durable subscription of that name: with that selector, unless somebody uses it with another. */
  private durable(name: string, above = 0): Durable {
    const { model } = this;
    const known = this.durables.get(name);
    if (known !== undefined && (known.above === above || this.isUsed(known))) return known;
    if (known !== undefined) model.remove(known.place);
    const place = model.place(this.next(`${name} #`), 'durable', `/queue/DLQ.${name}`);
    model.listen({ place, accepts: (topic, { x }) => matches('/topic/t.#', topic) && x > above });
    const durable = { name, above, place };
    this.durables.set(name, durable);
    return durable;
  }

  private isUsed({ place }: Durable): boolean {
    return [...this.model.readers].some((reader) => reader.place === place);
  }

  /** @param purge whether a durable subscription is deleted with it */
  private unsubscribe(client: Client, n: readonly number[], purge: boolean): void {
    const { model } = this;
    const durables = [...this.durables.values()];
    const named = purge ? durables[n[2]! % durables.length] : undefined;
    if (purge && named === undefined) return;
    const all = client.readers.filter(({ place }) => named === undefined || place === named.place);
    // Its transaction goes on.
    const binding = all.filter(({ held }) => held.some(({ sent }) => sent.bound !== undefined));
    const readers = n[4]! % 2 === 0 && binding.length > 0 ? binding : all;
    const reader = readers[n[3]! % readers.length];
    if (!purge && reader === undefined) return;
    // While others use it that would be an error.
    const others = [...model.readers].filter(({ place }) => place === named?.place && place !== undefined);
    const deletes = named !== undefined && others.every((one) => one === reader);
    const also: Headers = deletes ? { 'durable-subscription-name': named.name } : {};
    if (reader !== undefined) this.end(client, reader, also);
    else if (deletes) this.say(client, 'UNSUBSCRIBE', { id: 'none', ...also });
    if (!deletes) return;
    this.durables.delete(named.name);
    model.remove(named.place);
  }

  private end(client: Client, reader: Subscribed, also: Headers = {}): void {
    client.readers = client.readers.filter((one) => one !== reader);
    client.departed.push(reader);
    reader.left = Date.now();
    this.say(client, 'UNSUBSCRIBE', { id: reader.id, ...also });
    this.model.end(reader);
  }

  private answer(client: Client, n: readonly number[], answer: Answer): void {
    const { model } = this;
    const { kind, delay } = answer;
    const owing = client.owing;
    let reader = owing[n[2]! % owing.length]!;
    let at = n[3]! % reader.held.length;
    // What was refused before is refused again, or it would hardly come to its limit.
    for (const other of kind === 'nack' && n[5]! % 2 === 0 ? owing : []) {
      const often = other.held.findIndex(({ sent: { count } }) => count > reader.held[at]!.sent.count);
      if (often >= 0) [reader, at] = [other, often];
    }
    const { sent, frame } = reader.held[at]!;
    if (sent.bound !== undefined && sent.holder === reader) return;
    const answered = model.answered(reader, at);
    // Whether that one has expired already, or is found to have, nobody knows.
    if (answered.some((one) => one.holder !== reader && one.expires !== Infinity)) return;
    // By its message-id another delivery of the same message in this session would be named as well.
    const id = frame.header('message-id')!;
    const same = owing.flatMap(({ held }) => held).filter((one) => one.frame.header('message-id') === id);
    if (client.version !== '1.2' && same.length > 1) return;
    const { inside, also } = client.transact(n[1]!);
    const headers: Headers =
      client.version === '1.2' ? { id: frame.header('ack')! } : { 'message-id': id, subscription: reader.id };
    if (kind === 'reject') headers.requeue = 'false';
    if (delay !== undefined) headers.delay = String(delay);
    this.say(client, kind === 'ack' ? 'ACK' : 'NACK', { ...headers, ...also }, '', sent.name);
    const done = () => {
      for (const one of answered) model.settle(reader, one, answer);
    };
    if (inside === undefined) done();
    else {
      for (const one of answered) if (one.holder === reader) one.bound = inside;
      inside.bound.push(...answered);
      inside.parts.push(done);
    }
  }

  private finish(client: Client, how: 'commit' | 'abort'): void {
    const { transaction } = client;
    if (transaction === undefined) return;
    client.transaction = undefined;
    this.say(client, how.toUpperCase(), { transaction: transaction.id });
    if (how === 'commit') for (const part of transaction.parts) part();
    else this.release(transaction);
  }

  private release(transaction: Transaction): void {
    for (const sent of transaction.bound) if (sent.bound === transaction) this.model.release(sent);
  }

  private tick(ms: number): void {
    this.log.push(`${ms} ms pass`);
    jest.advanceTimersByTime(ms);
    for (const { departed } of this.clients) {
      for (const reader of departed) {
        if (!reader.abandoned && reader.left + LATE <= Date.now()) this.model.giveBack(reader);
      }
    }
    this.model.advance();
  }

  private async restart(n: number): Promise<void> {
    if (this.subject.restart === undefined) return;
    // What others give back would count as received by a connection that is about to break.
    for (const client of this.clients) {
      for (const reader of client.readers.filter(({ ack }) => ack === 'auto')) {
        this.end(client, reader);
        await this.settle();
      }
    }
    this.log.push('the broker is restarted');
    const { broker, clients } = this;
    this.clients = [];
    const engine = await this.subject.restart(async () => {
      // It is the broker that goes: no consumer has broken.
      for (const { session } of clients) {
        session.refuse(new StompError('restart'));
        session.destroy();
      }
      await broker.close(0);
    });
    for (const client of clients) this.model.forgetPublisher(client);
    this.model.restart();
    this.broker = new StompBroker({ engine });
    await this.broker.start();
    for (let i = 0; i < clients.length; i++) await this.connect(VERSIONS[(n + i) % 3]!);
  }

  private async leave(client: Client, how: 'disconnect' | 'break'): Promise<void> {
    this.clients.splice(this.clients.indexOf(client), 1);
    this.log.push(`${client.name} ${how}s`);
    if (how === 'disconnect') {
      await client.peer.receipted('DISCONNECT');
      client.peer.end();
    } else client.session.destroy();
    const until = performance.now() + DEADLINE;
    while (this.broker.sessions.size > this.clients.length) {
      if (performance.now() > until) throw new Error('a session does not end');
      await setImmediate();
    }
    this.model.forgetPublisher(client);
    for (const reader of client.readers) this.model.end(reader);
    if (client.transaction !== undefined) this.release(client.transaction);
    for (const reader of client.departed) if (!reader.abandoned) this.model.giveBack(reader);
    for (const reader of client.readers) this.model.giveBack(reader, how === 'break');
  }

  /** What has to survive a restart is done when its receipt is there; for the rest every other frame asks for one. */
  private say(client: Client, command: string, headers: Headers, body = '', about = body): void {
    const asks = this.subject.restart !== undefined || this.serial % 2 === 0;
    const said = Object.entries(headers).map(([name, value]) => `${name}:${value}`);
    this.log.push(`${client.name} ${command} ${[...said, about].join(' ')}`);
    client.peer.send(command, asks ? { ...headers, receipt: this.next('r') } : headers, body);
  }

  /** All that was said is done, and all that came of it has been seen. */
  private async settle(): Promise<void> {
    const { clients, model } = this;
    await Promise.all(clients.map(({ peer }) => peer.receipted('SEND', { destination: BARRIER })));
    // On a slow machine queues are looked through in turns.
    for (let turn = 0; turn < TURNS; turn++) await setImmediate();
    // What the later ones did may have brought something to the earlier ones.
    const came = await Promise.all(clients.map((client) => this.received(client)));
    model.arrived(came, this.since);
    model.check();
  }

  private async received({ peer, readers, name }: Client): Promise<Arrival[]> {
    const marker = this.next('end');
    const arrivals: Arrival[] = [];
    peer.send('SEND', { destination: BARRIER, receipt: marker });
    for (;;) {
      const frame: RawFrame = await peer.frame();
      if (frame.command === 'RECEIPT') {
        if (frame.header('receipt-id') === marker) return arrivals;
        continue;
      }
      const reader = readers.find(({ id }) => id === frame.header('subscription'));
      const what = `${frame.command} ${frame.header('name') ?? frame.header('message')} ${frame.text}`;
      if (frame.command !== 'MESSAGE' || reader === undefined) throw new Error(`${what} came to ${name}`);
      this.log.push(`  ${frame.header('name')} comes to ${reader.id} of ${name}`);
      arrivals.push({ reader, frame });
    }
  }

  private next(prefix: string): string {
    return `${prefix}${++this.serial}`;
  }
}
