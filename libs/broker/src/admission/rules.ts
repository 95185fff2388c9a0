import { StompError } from 'nestjs-stomp/server';
import { readDestination } from '../destination/name.js';
import { fits, isPattern, isRest } from '../destination/pattern.js';
import type { User } from './users.js';

/** What a client does with a destination: read (SUBSCRIBE), write (SEND), manage (say how a queue is to be made). */
export type Access = 'read' | 'write' | 'manage';
export const ACCESS: readonly Access[] = ['read', 'write', 'manage'];

/** What some may do, or may not do, with destinations of a pattern. */
export interface Rule {
  /**
   * A destination or a pattern of them, as in subscriptions: `/queue/orders.*`, `/topic/#`; `#` alone is every queue and
   * topic but the advisories. `{user}` in it is the name of whoever asks.
   */
  readonly destination: string;
  /** Whom it concerns: these users, and the members of these groups; everybody where neither is given. */
  readonly users?: readonly string[];
  readonly groups?: readonly string[];
  readonly allow?: readonly Access[];
  /** Counts more than whatever allows it. */
  readonly deny?: readonly Access[];
}

/** The rules of a broker. What no rule allows is refused. */
export interface Rules {
  readonly rules: readonly Rule[];
  /** The members of groups. */
  readonly groups?: Readonly<Record<string, readonly string[]>>;
}

/** Whether somebody may use a destination, or everything that a pattern stands for, so. */
export type Decide = (access: Access, destination: string) => boolean;

/** A destination, or a pattern of them, taken apart. */
interface Place {
  readonly kind: 'queue' | 'topic' | 'other';
  readonly name: string;
  readonly levels: readonly string[];
  readonly wild: boolean;
}

/** A rule, as it concerns one user. */
interface Clause {
  readonly covers: (place: Place) => boolean;
  readonly meets: (place: Place) => boolean;
  readonly allow: ReadonlySet<Access>;
  readonly deny: ReadonlySet<Access>;
}

/**
 * Makes of rules a function that makes of a user the function that decides.
 *
 * @throws Error that names the rule and what is wrong with it
 */
export function compileRules({ rules, groups = {} }: Rules): (user: User | undefined) => Decide {
  for (const [index, { destination }] of rules.entries()) {
    const problem = checkPattern(destination);
    if (problem !== undefined) throw new Error(`rule ${index + 1}: ${problem}`);
  }
  return (user) => {
    const name = user?.name;
    const own = Object.entries(groups).flatMap(([group, members]) =>
      name !== undefined && members.includes(name) ? [group] : [],
    );
    const member = new Set([...own, ...(user?.groups ?? [])]);
    const clauses = rules.flatMap((rule) => (concerns(rule, name, member) ? compileClause(rule, name) : []));
    return (access, destination) => {
      const place = readPlace(destination);
      let allowed = false;
      for (const { covers, meets, allow, deny } of clauses) {
        if (deny.has(access) && meets(place)) return false;
        allowed ||= allow.has(access) && covers(place);
      }
      return allowed;
    };
  };
}

function checkPattern(destination: string): string | undefined {
  if (destination === '#') return undefined;
  try {
    readDestination(destination);
  } catch (error) {
    return error instanceof StompError ? error.detail : String(error);
  }
  return /^\/(temp|reply)-(queue|topic)\//.test(destination)
    ? 'temporary destinations belong to their session and need no rule'
    : undefined;
}

function concerns({ users, groups }: Rule, name: string | undefined, member: ReadonlySet<string>): boolean {
  if (users === undefined && groups === undefined) return true;
  if (name !== undefined && users?.includes(name) === true) return true;
  return groups?.some((group) => member.has(group)) === true;
}

function compileClause({ destination, allow = [], deny = [] }: Rule, name: string | undefined): Clause[] {
  // Who has no name has no destinations of his own.
  if (destination.includes('{user}') && (name === undefined || name === '')) return [];
  const text = destination.replaceAll('{user}', () => encodeName(name ?? ''));
  const sets = { allow: new Set(allow), deny: new Set(deny) };
  if (text === '#') return [{ covers: (place) => !isHidden(place), meets: () => true, ...sets }];
  const rule = readPlace(text);
  const alike = (place: Place) => place.kind === rule.kind;
  if (!rule.wild) {
    return [
      {
        covers: (place) => alike(place) && place.name === rule.name,
        meets: (place) => alike(place) && (place.wild ? overlap(place, rule) : place.name === rule.name),
        ...sets,
      },
    ];
  }
  return [
    {
      covers: (place) => alike(place) && covers(rule, place),
      meets: (place) => alike(place) && overlap(rule, place),
      ...sets,
    },
  ];
}

/**
 * A user's name as a level of a destination: what parts levels or stands for others is percent-encoded, so that
 * nobody's name leads to the destinations of somebody else.
 */
export const encodeName = (name: string): string =>
  // eslint-disable-next-line no-control-regex -- they may stand in no destination
  name.replace(/[%./*#>,$\s\u0000-\u001f\u007f]/g, (character) =>
    [...Buffer.from(character)].map((octet) => `%${octet.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );

function readPlace(destination: string): Place {
  const { kind, name } = readDestination(destination);
  const topic = kind !== 'queue' && name.startsWith('/topic/');
  const bare = topic ? name.slice('/topic/'.length) : name;
  return {
    kind: kind === 'queue' ? 'queue' : topic ? 'topic' : 'other',
    name,
    levels: bare.split(/[./]/),
    wild: isPattern(name),
  };
}

const isHidden = ({ kind, levels }: Place) => kind === 'topic' && levels[0]!.startsWith('$');
const isWild = (level: string | undefined) => level === '*' || isRest(level);

/** Whether a pattern stands for all that another one, or a name, stands for. In doubt it does not. */
function covers(rule: Place, place: Place): boolean {
  if (isHidden(place) && isWild(rule.levels[0])) return false;
  return fits(rule.levels, place.levels, 0, (own, other) => own === other || (own === '*' && !isRest(other)));
}

/** Whether there may be a name that both patterns stand for. */
function overlap(rule: Place, place: Place): boolean {
  if (isHidden(place) && isWild(rule.levels[0])) return false;
  if (isHidden(rule) && isWild(place.levels[0])) return false;
  return share(rule.levels, place.levels);
}

/**
 * Whether levels of two patterns stand for something that is the same. What comes before the first `#` of either has to
 * go together level by level, and so has what comes behind the last. Of what is in between, one that has a `#` of its
 * own besides those of the other can be moved out of its way.
 */
function share(one: readonly string[], other: readonly string[]): boolean {
  const bound = (a: string | undefined, b: string | undefined) =>
    a !== undefined && b !== undefined && !isRest(a) && !isRest(b);
  let from = 0;
  for (; bound(one[from], other[from]); from++) if (!together(one[from]!, other[from]!)) return false;
  let [end, otherEnd] = [one.length, other.length];
  while (end > from && otherEnd > from && bound(one[end - 1], other[otherEnd - 1])) {
    if (!together(one[--end]!, other[--otherEnd]!)) return false;
  }
  const [left, right] = [one.slice(from, end), other.slice(from, otherEnd)];
  if (!right.some(isRest)) return fits(left, right, 0, together);
  if (!left.some(isRest)) return fits(right, left, 0, together);
  return true;
}

const together = (one: string, other: string) => one === other || one === '*' || other === '*';
