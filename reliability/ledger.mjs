/*
 * What was promised, and what came of it. A unit is what counts as a whole: a SEND, a list of destinations, an
 * acknowledgement, a transaction. It makes copies of messages, takes others away, or both. When its receipt has come it
 * has happened; when the broker was killed before that nobody knows, until what comes later tells for all of it.
 */

/** A message in one place. */
class Copy {
  /** The unit that takes it away, or may have. */
  taken;
  /** The last life of the broker in which it was delivered; 0 for none. */
  delivered = 0;
  /** How often it was. */
  count = 0;

  constructor(unit, { id, place, from, priority = 4, serial = 0, size = 0, due = 0 }) {
    this.unit = unit;
    this.id = id;
    this.place = place;
    /** What is of the same publisher and priority keeps its order, but for what is delivered at a time of its own. */
    this.line = due > 0 || from === undefined ? undefined : `${from} ${priority}`;
    this.serial = serial;
    this.size = size;
    this.due = due;
  }
}

export class Ledger {
  /** What was found to be wrong. */
  violations = [];
  confirmed = 0;
  doubtful = 0;
  /** Messages that came more than once, and said so. */
  again = 0;
  /** Counts the lives of the broker. */
  life = 1;
  /** By place and id: what should be there, or may be. */
  #waiting = new Map();
  /** By place: ids of what should never come any more, and why. */
  #gone = new Map();
  #open = new Set();
  #orders = new Map();

  /** Something is about to be asked for. */
  begin(what, makes, takes = []) {
    const unit = { what, life: this.life, happened: undefined, copies: [], takes };
    for (const make of makes) {
      const copy = new Copy(unit, make);
      unit.copies.push(copy);
      this.#at(this.#waiting, copy.place).set(copy.id, copy);
    }
    for (const copy of takes) copy.taken = unit;
    this.#open.add(unit);
    return unit;
  }

  /** Its receipt has come. */
  confirm(unit) {
    this.#open.delete(unit);
    this.confirmed++;
    this.#learn(unit, true, 'its receipt came');
    for (const copy of unit.takes) this.#drop(copy, `was acknowledged by ${unit.what}, with a receipt`);
  }

  /** The broker is dead: what it had not confirmed is in doubt. */
  dies() {
    this.life++;
    this.doubtful += this.#open.size;
    this.#open.clear();
    this.#orders.clear();
  }

  /**
   * A message was delivered.
   *
   * @param by what receives: it sees the messages of one publisher in their order
   * @returns its copy; undefined when there should be none
   */
  came(place, id, redelivered, by, now = Date.now()) {
    const copy = this.#find(place, id, 'came');
    if (copy === undefined) return undefined;
    const older = copy.unit.life < this.life;
    const known = copy.delivered > 0 || older;
    if (copy.delivered === this.life) this.#wrong(copy, 'came twice to consumers that stayed');
    // What waited for its time may have been delivered if that came before the start, which is not known here.
    const unsure = copy.due > 0 && copy.delivered === 0 && older;
    if (!unsure && known !== redelivered) {
      this.#wrong(copy, known ? 'came again, or may have, and did not say so' : 'was redelivered when it first came');
    }
    if (now < copy.due) this.#wrong(copy, `came ${copy.due - now} ms before its time`);
    this.#inOrder(copy, by);
    copy.delivered = this.life;
    if (copy.count++ === 1) this.again++;
    return copy;
  }

  /** All that waits in a place, in its order; nobody takes from there or adds to it meanwhile. */
  shown(place, ids) {
    const there = new Set();
    for (const id of ids) {
      if (there.has(id)) this.violations.push(`${id} is twice in ${place}`);
      there.add(id);
      const copy = this.#find(place, id, 'is there');
      if (copy !== undefined) this.#inOrder(copy, `${place} at rest`);
    }
    for (const copy of [...this.#at(this.#waiting, place).values()]) {
      if (there.has(copy.id)) continue;
      if (copy.taken !== undefined) {
        // What may never have been there says nothing of what took it.
        if (copy.unit.happened === true) this.#learn(copy.taken, true, `${copy.id} is not in ${place} any more`);
        this.#drop(copy, `had been taken from there by ${copy.taken.what}`);
      } else if (copy.unit.happened === true) {
        this.#wrong(copy, `is lost: ${copy.unit.why}${copy.count > 0 ? ', and it was delivered before' : ''}`);
        this.#drop(copy, 'was lost');
      } else {
        this.#learn(copy.unit, false, `${copy.id} is not in ${place}`);
        this.#drop(copy, 'was not there before');
      }
    }
  }

  /** How much waits in a place, or may. */
  count(place) {
    return this.#at(this.#waiting, place).size;
  }

  #find(place, id, how) {
    const copy = this.#at(this.#waiting, place).get(id);
    if (copy === undefined) {
      const why = this.#at(this.#gone, place).get(id) ?? 'was never sent there';
      this.violations.push(`${id} of ${place} ${how}, and ${why}`);
      return undefined;
    }
    // Before that it may be delivered while it is still being written.
    if (copy.unit.life < this.life) this.#learn(copy.unit, true, `${id} ${how} in ${place}`);
    if (copy.taken !== undefined && !this.#open.has(copy.taken)) {
      this.#learn(copy.taken, false, `${id} is in ${place} as before`);
      copy.taken = undefined;
    }
    return copy;
  }

  #inOrder(copy, by) {
    if (copy.line === undefined) return;
    const lines = this.#at(this.#orders, by);
    const before = lines.get(copy.line) ?? -1;
    if (copy.serial <= before) this.#wrong(copy, `came to ${by} behind number ${before} of its publisher`);
    lines.set(copy.line, copy.serial);
  }

  /** All of a unit happens, or nothing. */
  #learn(unit, happened, why) {
    if (unit.happened === undefined) {
      unit.happened = happened;
      unit.why = why;
    } else if (unit.happened !== happened) {
      this.violations.push(`${unit.what} happened by halves: ${unit.why}, but ${why}`);
    }
  }

  #drop(copy, why) {
    this.#at(this.#waiting, copy.place).delete(copy.id);
    this.#at(this.#gone, copy.place).set(copy.id, why);
  }

  #wrong(copy, what) {
    this.violations.push(`${copy.id} of ${copy.place} ${what}`);
  }

  #at(maps, key) {
    let map = maps.get(key);
    if (map === undefined) maps.set(key, (map = new Map()));
    return map;
  }
}

/** What is kept of topics whose last message is retained. */
export class RetainedLedger {
  #topics = new Map();
  #serial = 0;

  constructor(ledger) {
    this.ledger = ledger;
  }

  /** A message is about to be sent; returns its number. */
  begin(topic) {
    this.#of(topic).sent.push(++this.#serial);
    return this.#serial;
  }

  confirm(topic, serial) {
    const known = this.#of(topic);
    known.least = Math.max(known.least, serial);
  }

  /** After a restart, before anything is sent. @param serial 0 for none */
  shown(topic, serial) {
    const known = this.#of(topic);
    if (serial < known.least) {
      this.ledger.violations.push(
        `${topic} retains ${serial || 'nothing'}, and ${known.least} was confirmed, or there`,
      );
    } else if (serial > 0 && serial !== known.least && !known.sent.includes(serial)) {
      this.ledger.violations.push(`${topic} retains ${serial}, which was not sent, or was not there before`);
    }
    known.least = serial;
    known.sent = [];
  }

  #of(topic) {
    let known = this.#topics.get(topic);
    if (known === undefined) this.#topics.set(topic, (known = { least: 0, sent: [] }));
    return known;
  }
}
