/*
 * What clients do in one life of the broker, each thing told to the ledger when it is asked for and when its receipt comes:
 *
 *   publishers -> work -> consumers, which refuse some for good -> DLQ.work, which nobody reads
 *              -> steps -> moved in transactions to done -> a consumer that acknowledges many at once
 *              -> news, a durable subscription; later, when its time has come; held, which nobody reads
 *              -> topics whose last message is retained
 */
import { setTimeout } from 'node:timers';
import { setTimeout as sleep } from 'node:timers/promises';
import { Peer } from './peer.mjs';

/** Places and where they are. Those that nobody reads, and what waits in the others, is looked at between two lives. */
export const QUEUES = {
  work: '/queue/work',
  steps: '/queue/steps',
  done: '/queue/done',
  held: '/queue/held',
  dead: '/queue/DLQ.work',
};
const NEWS = '/topic/news';
const LATER = '/queue/later';
const DURABLE = { destination: NEWS, 'durable-subscription-name': 'news' };
const STATES = ['/topic/state.1', '/topic/state.2', '/topic/state.3'];
const PLACES = { ...QUEUES, news: NEWS, later: LATER };
/** So many messages may wait in a place before publishers turn to others. */
const MOST = 1_500;
/** What a publisher has under way at most. */
const WINDOW = 48;
const KEPT = { persistent: 'true' };

const bodyOf = (id, size) => `${id} `.repeat(Math.ceil(size / (id.length + 1))).slice(0, size);

export class Traffic {
  #peers = [];
  #going = false;
  #over = false;
  #serial = 0;

  /**
   * @param crash what the lives of the broker have in common: ledger, retained, numbers at random
   * @param url where it listens in this one
   */
  constructor(crash, url) {
    Object.assign(this, crash);
    this.url = url;
  }

  /** Looks at what waits, while nobody takes anything: tells the ledger of it. */
  async look() {
    const peer = await this.#connect();
    for (const [place, destination] of Object.entries(QUEUES)) {
      const ids = [];
      const all = new Promise((resolve) => {
        const show = (frame) => {
          if (frame.headers.get('browser') === 'end') resolve();
          else ids.push(this.#read(frame));
        };
        void peer.subscribe({ destination, browser: 'true' }, show);
      });
      await Promise.race([all, peer.closed.then(() => Promise.reject(new Error('the broker ended by itself')))]);
      this.ledger.shown(place, ids);
    }
    for (const topic of STATES) {
      let serial = 0;
      const keep = ({ text }) => (serial = Number(text.split(' ')[1]));
      await peer.subscribe({ destination: topic }, keep);
      await new Promise((resolve) => peer.send('SEND', { destination: '/topic/nobody' }, 'x', resolve));
      this.retained.shown(topic, serial);
    }
    peer.cut();
  }

  /** Consumers come, and publishers; resolves when all is under way. */
  async start() {
    this.#going = true;
    await this.#consume();
    for (const state of STATES) {
      void this.#publish({ peer: await this.#connect(), name: `p${this.ledger.life}.${this.#serial++}`, state });
    }
  }

  /** Consumers take all that there is. */
  async drain() {
    await this.#consume();
    const peer = await this.#connect();
    for (const [place, destination] of Object.entries({ held: QUEUES.held, dead: QUEUES.dead })) {
      void this.#takeOne(peer, place, destination);
    }
    const left = () => Object.keys(PLACES).reduce((sum, place) => sum + this.ledger.count(place), 0);
    // As long as something comes or is confirmed.
    for (let before = -1, still = 0; left() > 0 && still < 30; await sleep(100)) {
      still = this.ledger.confirmed === before ? still + 1 : 0;
      before = this.ledger.confirmed;
    }
    for (const place of Object.keys(PLACES)) this.ledger.shown(place, []);
  }

  /** All connections are cut. */
  leave() {
    for (const peer of this.#peers) peer.cut();
    return this.ended();
  }

  /** Resolves when all connections are gone, and with them what had come by them. */
  async ended() {
    this.#going = false;
    this.#over = true;
    await Promise.all(this.#peers.map(({ closed }) => closed));
  }

  async #connect(headers = {}) {
    const peer = await Peer.open(this.url, headers);
    peer.onError = (text) => this.ledger.violations.push(`the broker refuses: ${text}`);
    this.#peers.push(peer);
    return peer;
  }

  async #consume() {
    for (let n = 0; n < 2; n++) await this.#takeOne(await this.#connect(), 'work', QUEUES.work, 40);
    await this.#takeOne(await this.#connect(), 'later', LATER);
    await this.#takeOne(await this.#connect({ 'client-id': 'crash' }), 'news', DURABLE);
    await this.#move(await this.#connect());
    await this.#takeMany(await this.#connect());
  }

  /** @param refuses one of so many for good; 0 for none */
  #takeOne(peer, place, from, refuses = 0) {
    const headers = typeof from === 'string' ? { destination: from } : from;
    const by = `consumer ${this.#serial++} of ${place}`;
    return peer.subscribe({ ...headers, ack: 'client-individual', 'prefetch-count': '50' }, (frame) => {
      const copy = this.#came(place, frame, by);
      if (copy === undefined) return;
      const id = frame.headers.get('ack');
      if (refuses > 0 && this.random(refuses) === 0) {
        const letter = { id: copy.id, place: 'dead', size: copy.size };
        this.#ask(peer, 'NACK', { id, requeue: 'false' }, this.ledger.begin(`NACK of ${copy.id}`, [letter], [copy]));
      } else this.#ask(peer, 'ACK', { id }, this.ledger.begin(`ACK of ${copy.id}`, [], [copy]));
    });
  }

  /** Some at a time, in one transaction: away from one queue and into the other. */
  #move(peer) {
    const from = `m${this.ledger.life}`;
    const move = (batch) => {
      const transaction = `${from} ${this.#serial++}`;
      const moved = batch.map(({ copy: { id } }) => {
        const serial = this.#serial++;
        return { id: `${id}-${from}.${serial}`, place: 'done', from, serial, size: 300 };
      });
      const taken = batch.map(({ copy }) => copy);
      const unit = this.ledger.begin(`transaction ${transaction}, that moves ${batch.length}`, moved, taken);
      peer.send('BEGIN', { transaction });
      for (const [at, { frame }] of batch.entries()) {
        peer.send('ACK', { id: frame.headers.get('ack'), transaction });
        this.#send(peer, QUEUES.done, moved[at], { transaction });
      }
      this.#ask(peer, 'COMMIT', { transaction }, unit);
    };
    return this.#takeSome(peer, 'steps', 'client-individual', 3, move);
  }

  /** Acknowledges all that came before with one. */
  #takeMany(peer) {
    return this.#takeSome(peer, 'done', 'client', 20, (batch) => {
      const { copy, frame } = batch.at(-1);
      const taken = batch.map((one) => one.copy);
      this.#ask(peer, 'ACK', { id: frame.headers.get('ack') }, this.ledger.begin(`ACK up to ${copy.id}`, [], taken));
    });
  }

  /** Collects up to so many messages, as long as they come without a pause. */
  #takeSome(peer, place, ack, most, use) {
    let batch = [];
    const flush = () => {
      if (batch.length > 0 && !this.#over) use(batch);
      batch = [];
    };
    return peer.subscribe({ destination: QUEUES[place], ack, 'prefetch-count': '50' }, (frame) => {
      const copy = this.#came(place, frame, `consumer of ${place}`);
      if (copy === undefined) return;
      if (batch.push({ copy, frame }) > this.random(most)) flush();
      else if (batch.length === 1) setTimeout(flush, 20);
    });
  }

  async #publish(publisher) {
    let underWay = 0;
    const done = () => underWay--;
    while (this.#going) {
      while (underWay < WINDOW && this.#publishOne(publisher, done)) underWay++;
      await sleep(2);
    }
  }

  /** @returns whether there was something to do: places may be full */
  #publishOne({ peer, name, state }, done) {
    const { random, ledger } = this;
    const places = ['work', 'work', 'steps', 'news', 'later', 'held'].filter((place) => ledger.count(place) < MOST);
    if (places.length === 0) return false;
    const kind = random(20);
    const place = places[random(places.length)];
    if (kind === 0) this.#retain(peer, state, done);
    else if (kind === 1) {
      const lists = places.filter((one) => one !== 'later');
      const list = [...new Set(['work', ...lists])];
      const copies = this.#make(name, list);
      const unit = ledger.begin(`SEND of ${copies[0].id} to ${list.join(', ')}`, copies);
      this.#send(peer, list.map((one) => PLACES[one]).join(','), copies[0], {}, this.#confirmed(unit, done));
    } else if (kind < 5) {
      const transaction = `${name} ${this.#serial++}`;
      const copies = Array.from({ length: 1 + random(5) }, () => places[random(places.length)])
        .filter((one) => one !== 'later')
        .flatMap((one) => this.#make(name, [one]));
      const unit = ledger.begin(`transaction ${transaction}, of ${copies.length}`, copies);
      peer.send('BEGIN', { transaction });
      for (const copy of copies) this.#send(peer, PLACES[copy.place], copy, { transaction });
      peer.send('COMMIT', { transaction }, '', this.#confirmed(unit, done));
    } else {
      const delay = place === 'later' ? 1 + random(2_500) : 0;
      const [copy] = this.#make(name, [place], delay > 0 ? Date.now() + delay : 0);
      const unit = ledger.begin(`SEND of ${copy.id}`, [copy]);
      const headers = delay > 0 ? { 'x-delay': String(delay) } : {};
      this.#send(peer, PLACES[place], copy, headers, this.#confirmed(unit, done));
    }
    return true;
  }

  /** One message, in each of the places. */
  #make(from, places, due = 0) {
    const serial = this.#serial++;
    // Those that stay are large, so that they do not all fit into memory.
    const size = this.random(50) === 0 ? 64 * 1024 : 100 + this.random(places[0] === 'held' ? 30_000 : 6_000);
    const priority = 3 + this.random(3);
    return places.map((place) => ({ id: `${from}.${serial}`, place, from, serial, size, priority, due }));
  }

  #retain(peer, topic, done) {
    const serial = this.retained.begin(topic);
    peer.send('SEND', { destination: topic, retain: 'true', ...KEPT }, `state ${serial}`, () => {
      this.retained.confirm(topic, serial);
      done();
    });
  }

  #send(peer, destination, { id, size, priority = 4 }, headers, done) {
    peer.send('SEND', { destination, id, priority: String(priority), ...KEPT, ...headers }, bodyOf(id, size), done);
  }

  #ask(peer, command, headers, unit) {
    peer.send(command, headers, '', this.#confirmed(unit));
  }

  #confirmed(unit, done = () => undefined) {
    return () => {
      this.ledger.confirm(unit);
      done();
    };
  }

  #came(place, frame, by) {
    return this.ledger.came(place, this.#read(frame), frame.headers.get('redelivered') === 'true', by);
  }

  /** The id of a message, when its body is whole. */
  #read({ headers, body }) {
    const id = headers.get('id');
    if (body.toString() !== bodyOf(id, body.length) || body.length === 0) {
      this.ledger.violations.push(`the body of ${id} is another one: ${body.length} octets`);
    }
    return id;
  }
}
