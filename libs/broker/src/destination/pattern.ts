const PREFIX = '/topic/';

/** The levels of a name, parted by dots and slashes. */
export function levelsOf(name: string): string[] {
  return (name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name).split(/[./]/);
}

/** Whether names with and without the prefix of topics are meant: they are never the same. */
export const isPrefixed = (name: string): boolean => name.startsWith(PREFIX);

const isWild = (level: string) => level === '*' || isRest(level);

/** Whether a destination that is subscribed to stands for more than one name. */
export function isPattern(name: string): boolean {
  return levelsOf(name).some(isWild);
}

/** Octets that a level of a pattern takes where patterns are looked up, and one behind its first `#` or `>`. */
const LEVEL = 600;
const TAIL_LEVEL = 64;

/** The octets that it takes to look a name up because it is a pattern. */
export function weighPattern(name: string): number {
  if (!isPattern(name)) return 0;
  const levels = levelsOf(name);
  const tail = levels.findIndex(isRest);
  const nodes = tail < 0 ? levels.length : tail + 1;
  return LEVEL * nodes + TAIL_LEVEL * (levels.length - nodes);
}

/**
 * Whether no wildcard stands for the first level of a name: topics that begin with a dollar sign are asked for by name,
 * and the broker's own names, which begin with NUL, by nobody.
 */
export const isHidden = (name: string): boolean => name.startsWith(`${PREFIX}$`) || name.startsWith('\0');

/** Whether a level of a pattern stands for any levels, or none. */
export const isRest = (level: string | undefined): boolean => level === '#' || level === '>';

/** Whether a name is one of those that a pattern stands for; a pattern without wildcards stands for itself. */
export const matches = (pattern: string, name: string): boolean => matcher(pattern)(name);

/** The same, for many names. */
export function matcher(pattern: string): (name: string) => boolean {
  if (!isPattern(pattern)) return (name) => name === pattern;
  const [wanted, prefixed] = [levelsOf(pattern), isPrefixed(pattern)];
  const open = !isWild(wanted[0]!);
  return (name) => isPrefixed(name) === prefixed && (open || !isHidden(name)) && fits(wanted, levelsOf(name));
}

/**
 * Whether the levels of a pattern stand for those of a name from one on. Each `#` takes as few as it can: only the last
 * of them ever has to take more, so that however many there are it takes no more steps than the levels of both multiplied.
 *
 * @param same whether a level of the pattern, none that stands for many, stands for one of the name
 */
export function fits(wanted: readonly string[], levels: readonly string[], from = 0, same = isSame): boolean {
  let [part, level] = [0, from];
  let [rest, taken] = [-1, 0];
  while (level < levels.length) {
    if (isRest(wanted[part])) [rest, taken] = [part++, level];
    else if (part < wanted.length && same(wanted[part]!, levels[level]!)) {
      part++;
      level++;
    } else if (rest >= 0) [part, level] = [rest + 1, ++taken];
    else return false;
  }
  while (isRest(wanted[part])) part++;
  return part === wanted.length;
}

const isSame = (wanted: string, level: string) => wanted === '*' || wanted === level;
