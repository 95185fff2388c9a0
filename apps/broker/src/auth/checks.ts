import { createHmac, randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { StompError } from 'nestjs-stomp/server';

/**
 * How many run at a time. Each keeps a thread busy of the four that Node has for files and names, too, and a core: one
 * of both is left to everybody else.
 */
const AT_ONCE = Math.max(1, Math.min(3, availableParallelism() - 1));
/** How many may wait for their turn. Clients whose turn does not come within their time would come again, and again. */
const MOST_WAITING = 1_000;
/** How many right passcodes are remembered; the one that was not used for longest is forgotten first. */
const MOST_KNOWN = 10_000;

/**
 * Checks of passcodes that take their time, as bcrypt means them to: so that a herd of clients that come back at once
 * does not take minutes. What was right before is so at once, equal questions get one answer, and few are looked into
 * at a time.
 *
 * No passcode is kept: what was right is known by a keyed digest, with a key that nobody else has.
 */
export class Checks {
  private readonly key = randomBytes(32);
  private readonly right = new Set<string>();
  private readonly asked = new Map<string, Promise<boolean>>();
  private readonly waiting: (() => void)[] = [];
  private running = 0;

  /**
   * @param check looks into it; its answer has to be the same until the end of this object
   * @throws StompError when too many are waiting
   */
  async verify(login: string, passcode: string, check: () => Promise<boolean>): Promise<boolean> {
    const mark = createHmac('sha256', this.key).update(`${login.length}:${login}${passcode}`).digest('base64');
    if (this.right.delete(mark)) {
      this.right.add(mark);
      return true;
    }
    let answer = this.asked.get(mark);
    if (answer === undefined) {
      answer = this.look(mark, check).finally(() => this.asked.delete(mark));
      this.asked.set(mark, answer);
    }
    return answer;
  }

  private async look(mark: string, check: () => Promise<boolean>): Promise<boolean> {
    await this.turn();
    try {
      const verified = await check();
      if (verified) this.remember(mark);
      return verified;
    } finally {
      // Whoever waits takes over the turn: nobody comes between.
      const next = this.waiting.shift();
      if (next === undefined) this.running--;
      else next();
    }
  }

  private turn(): Promise<void> | undefined {
    if (this.running < AT_ONCE) {
      this.running++;
      return undefined;
    }
    if (this.waiting.length >= MOST_WAITING) {
      throw new StompError('connection refused', 'too many clients log in at once: try again later');
    }
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  private remember(mark: string): void {
    this.right.add(mark);
    if (this.right.size > MOST_KNOWN) this.right.delete(this.right.keys().next().value!);
  }
}
