/*
 * LIKE, without going back: all places of the pattern that the text so far may have led to are kept at once, a bit
 * for each, and move on together with each character (the "shift-and" way of matching). The cost is the length of the
 * text times that of the pattern in words of 32 bits, whatever either holds.
 *
 *   pattern   a % b _        bit 0: nothing read        stays where it is at % (bit 1, any character)
 *   bits     0 1   2 3       bit 3: all of it matched
 */
const BITS = 32;
const NONE: readonly number[] = [];

/**
 * Compiles the pattern of a LIKE: `%` is any text, `_` any one character. The escape character takes the meaning from
 * one of these, or from itself, behind it; before anything else it is a plain character, as in ActiveMQ.
 */
export function compileLike(pattern: string, escape: string | undefined): (text: string) => boolean {
  const places: (string | undefined)[] = [];
  const staying = new Set<number>();
  const characters = Array.from(pattern);
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i]!;
    const next = characters[i + 1];
    if (character === escape && (next === '%' || next === '_' || next === escape)) places.push(characters[++i]);
    else if (character === '%') staying.add(places.length);
    else places.push(character === '_' ? undefined : character);
  }

  const last = places.length;
  const words = Math.floor(last / BITS) + 1;
  const stay = new Int32Array(words);
  for (const place of staying) stay[place >> 5]! |= 1 << (place % BITS);
  // What moves on: with any character, and with a certain one. The latter only where there is something to say, as
  // the index of a word and its bits in turn, lest a pattern of many different characters take much memory.
  const any = new Int32Array(words);
  const moves = new Map<string, number[]>();
  for (const [place, character] of places.entries()) {
    const word = place >> 5;
    const bit = 1 << (place % BITS);
    if (character === undefined) {
      any[word]! |= bit;
      continue;
    }
    let some = moves.get(character);
    if (some === undefined) moves.set(character, (some = []));
    if (some.at(-2) === word) some[some.length - 1]! |= bit;
    else some.push(word, bit);
  }
  const end = 1 << (last % BITS);
  const endStays = staying.has(last);

  return (text) => {
    const reached = new Int32Array(words);
    reached[0] = 1;
    for (const character of text) {
      if (endStays && (reached[words - 1]! & end) !== 0) return true;
      const some = moves.get(character) ?? NONE;
      let next = 0;
      let carry = 0;
      let alive = 0;
      for (let word = 0; word < words; word++) {
        let move = any[word]!;
        if (some[next] === word) {
          move |= some[next + 1]!;
          next += 2;
        }
        const before = reached[word]!;
        const moved = before & move;
        const after = (moved << 1) | carry | (before & stay[word]!);
        reached[word] = after;
        carry = moved >>> 31;
        alive |= after;
      }
      if (alive === 0) return false;
    }
    return (reached[words - 1]! & end) !== 0;
  };
}
