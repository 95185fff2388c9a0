import { createHmac, randomBytes } from 'node:crypto';
import { availableParallelism } from 'node:os';
import type { Applicant } from 'nestjs-stomp-broker';
import { networkOf, StompError } from 'nestjs-stomp/server';

/**
 * How many run at a time. Each keeps a thread busy of the four that Node has for files and names, too, and a core: one
 * of both is left to everybody else.
 */
const AT_ONCE = Math.max(1, Math.min(3, availableParallelism() - 1));
/** How many may wait for their turn, of one address and in all. Those whose client is gone by then take no time. */
const MOST_OF_ONE = 250;
const MOST_WAITING = 10_000;
/** How many right passcodes are remembered; the one that was not used for longest is forgotten first. */
const MOST_KNOWN = 10_000;

const NOBODY: Applicant = { objection: () => undefined };

interface Asker {
  readonly applicant: Applicant;
  readonly resolve: (right: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** A login and a passcode that somebody, or a herd, wants to come in with. */
interface Question {
  readonly mark: string;
  readonly askers: Asker[];
  /** The networks in whose lines it stands. */
  readonly networks: Set<string>;
  begun: boolean;
  check(): Promise<boolean>;
}

/**
 * Checks of passcodes that take their time, as bcrypt means them to: so that a herd of clients that come back at once
 * does not take minutes. What was right before is so at once, equal questions get one answer, and few are looked into
 * at a time: of each address one in turn, so that many guesses of one do not keep others waiting.
 *
 * No passcode is kept: what was right is known by a keyed digest, with a key that nobody else has.
 */
export class Checks {
  private readonly key = randomBytes(32);
  private readonly right = new Set<string>();
  private readonly asked = new Map<string, Question>();
  /** A line for each network that has somebody waiting; the first one is next. */
  private readonly lines = new Map<string, Question[]>();
  private waiting = 0;
  private running = 0;

  /**
   * @param check looks into it; its answer has to be the same until the end of this object
   * @throws StompError when too many are waiting; what the applicant objects when its turn has come
   */
  async verify(
    login: string,
    passcode: string,
    check: () => Promise<boolean>,
    applicant: Applicant = NOBODY,
  ): Promise<boolean> {
    const mark = createHmac('sha256', this.key).update(`${login.length}:${login}${passcode}`).digest('base64');
    if (this.right.delete(mark)) {
      this.right.add(mark);
      return true;
    }
    const question = this.asked.get(mark) ?? { mark, askers: [], networks: new Set<string>(), begun: false, check };
    if (!question.begun) this.standInLine(question, applicant);
    this.asked.set(mark, question);
    return new Promise((resolve, reject) => {
      question.askers.push({ applicant, resolve, reject });
      this.goOn();
    });
  }

  /** What is asked from two networks comes up when it is the turn of either. */
  private standInLine(question: Question, { address }: Applicant): void {
    const network = address === undefined ? '' : networkOf(address);
    if (question.networks.has(network)) return;
    const line = this.lines.get(network) ?? [];
    if (line.length >= MOST_OF_ONE || this.waiting >= MOST_WAITING) {
      throw new StompError('connection refused', 'too many clients log in at once: try again later');
    }
    question.networks.add(network);
    line.push(question);
    this.lines.set(network, line);
    this.waiting++;
  }

  private goOn(): void {
    while (this.running < AT_ONCE) {
      const question = this.next();
      if (question === undefined) return;
      if (!question.begun && this.isWanted(question)) void this.look(question);
    }
  }

  /** Of the network whose turn it is the question that has waited longest. */
  private next(): Question | undefined {
    for (const [network, line] of this.lines) {
      this.lines.delete(network);
      const question = line.shift();
      if (line.length > 0) this.lines.set(network, line);
      this.waiting--;
      return question;
    }
    return undefined;
  }

  /** Those who need no answer any more are sent away. */
  private isWanted(question: Question): boolean {
    for (const asker of question.askers.splice(0)) {
      const objection = asker.applicant.objection();
      if (objection === undefined) question.askers.push(asker);
      else asker.reject(objection);
    }
    if (question.askers.length > 0) return true;
    // Whoever asks the same from now on asks anew, also where it stands in another line still.
    question.begun = true;
    this.asked.delete(question.mark);
    return false;
  }

  private async look(question: Question): Promise<void> {
    question.begun = true;
    this.running++;
    let settle: (asker: Asker) => void;
    try {
      const right = await question.check();
      if (right) this.remember(question.mark);
      settle = ({ resolve }) => resolve(right);
    } catch (error) {
      settle = ({ reject }) => reject(error);
    }
    this.running--;
    this.asked.delete(question.mark);
    question.askers.forEach(settle);
    this.goOn();
  }

  private remember(mark: string): void {
    this.right.add(mark);
    if (this.right.size > MOST_KNOWN) this.right.delete(this.right.keys().next().value!);
  }
}
