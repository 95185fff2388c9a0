const PREFIX = '/topic/';

/** The levels of a name, parted by dots and slashes. */
export function levelsOf(name: string): string[] {
  return (name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name).split(/[./]/);
}

/** Whether names with and without the prefix of topics are meant: they are never the same. */
export const isPrefixed = (name: string): boolean => name.startsWith(PREFIX);

const isWild = (level: string) => level === '*' || level === '#' || level === '>';

/** Whether a destination that is subscribed to stands for more than one name. */
export function isPattern(name: string): boolean {
  return levelsOf(name).some(isWild);
}

/**
 * Whether no wildcard stands for the first level of a name: topics that begin with a dollar sign are asked for by name,
 * and the broker's own names, which begin with NUL, by nobody.
 */
export const isHidden = (name: string): boolean => name.startsWith(`${PREFIX}$`) || name.startsWith('\0');

/** Whether a name is one of those that a pattern stands for; a pattern without wildcards stands for itself. */
export function matches(pattern: string, name: string): boolean {
  if (!isPattern(pattern)) return pattern === name;
  if (isPrefixed(pattern) !== isPrefixed(name)) return false;
  const wanted = levelsOf(pattern);
  if (isHidden(name) && isWild(wanted[0]!)) return false;
  const levels = levelsOf(name);
  // Which parts of the pattern may come next: one pass over the name, however many wildcards there are.
  let next = new Set([0]);
  const reach = (at: number, into: Set<number>) => {
    into.add(at);
    while (wanted[at] === '#' || wanted[at] === '>') into.add(++at);
  };
  const first = new Set<number>();
  for (const at of next) reach(at, first);
  next = first;
  for (const level of levels) {
    const after = new Set<number>();
    for (const at of next) {
      const part = wanted[at];
      if (part === '#' || part === '>') reach(at, after);
      else if (part === '*' || part === level) reach(at + 1, after);
    }
    next = after;
  }
  return next.has(wanted.length);
}
