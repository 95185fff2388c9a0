import type { Audit, AuditEvent } from 'nestjs-stomp-broker';
import { networkOf } from 'nestjs-stomp/server';

/** After how many ms the sums are passed on, and everything starts over. */
const SPAN = 60_000;
/** So many of one kind from one address are passed on in a span. */
const MOST_ALIKE = 50;
/** So many are passed on in a span in all. */
const MOST = 500;
/** So many sums there are in a span; whatever else comes is in one by itself, without an address. */
const MOST_SUMS = 500;

/** What events have in common that are counted together. */
type Kind = Pick<AuditEvent, 'event' | 'address' | 'error' | 'reason'>;

interface Sum {
  passed: number;
  /** Those that were not passed on, and the last of them. */
  count: number;
  last: Kind;
}

/**
 * Bounds what clients can cause to be recorded without end: beyond so many refusals in a minute the others are counted,
 * by kind and address, and each count is passed on when the minute is over.
 */
export class Flood {
  private readonly sums = new Map<string, Sum>();
  private passed = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly pass: (event: AuditEvent & { readonly count?: number }) => void) {}

  readonly take: Audit = (event) => {
    if (!isEndless(event)) {
      this.pass(event);
      return;
    }
    this.timer ??= setTimeout(() => this.flush(), SPAN).unref();
    const kind = kindOf(event);
    const sum = this.sums.get(keyOf(kind)) ?? this.open(kind);
    if (sum.passed < MOST_ALIKE && this.passed < MOST) {
      sum.passed++;
      this.passed++;
      this.pass(event);
    } else {
      sum.count++;
      if (sum.last.address !== undefined) sum.last = kind;
    }
  };

  /** Passes on the sums, and starts over. */
  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.passed = 0;
    const sums = [...this.sums.values()];
    this.sums.clear();
    for (const { count, last } of sums) if (count > 0) this.pass({ ...last, count });
  }

  private open(kind: Kind): Sum {
    if (this.sums.size >= MOST_SUMS) {
      const others: Kind = { event: kind.event, address: undefined };
      const found = this.sums.get(keyOf(others));
      if (found !== undefined) return found;
      kind = others;
    }
    const sum = { passed: 0, count: 0, last: kind };
    this.sums.set(keyOf(kind), sum);
    return sum;
  }
}

/**
 * Logins with the right credentials are all recorded. Those of nobody are for anybody to repeat, and who has the
 * credentials of two users can be either by turns, without a connection for each.
 */
const isEndless = ({ event, user }: AuditEvent): boolean =>
  event === 'connection refused' ||
  event === 'access refused' ||
  event === 'user changed' ||
  (event === 'connected' && user === undefined);

const kindOf = ({ event, address, error, reason }: AuditEvent): Kind => ({ event, address, error, reason });

const keyOf = ({ event, address, error }: Kind): string =>
  `${event} ${address === undefined ? '' : networkOf(address)} ${error ?? ''}`;
