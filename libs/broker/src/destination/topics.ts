/*
 * Who reads what: the topic subscriptions of one virtual host.
 *
 * Exact names stand in a map. Patterns stand in a tree of levels up to their first `#`; a name is matched level by level
 * against the nodes that are still possible, so the cost grows with the patterns that share its beginning, never with
 * those that do not. What a pattern is from its first `#` on is matched with the rest of the name.
 *
 *   /topic/a.*.c      root - a - * - c
 *   /topic/a.#.b      root - a, with the tail #.b
 */
import { fits, isHidden, isPattern, isPrefixed, isRest, levelsOf } from './pattern.js';
import type { TopicReader } from './reader.js';

/** Those who read one name. A list is made of them when it is asked for, not whenever somebody comes or goes. */
class Readers {
  private readonly all = new Set<TopicReader>();
  private known: readonly TopicReader[] | undefined;

  get size(): number {
    return this.all.size;
  }

  get list(): readonly TopicReader[] {
    return (this.known ??= [...this.all]);
  }

  add(reader: TopicReader): void {
    this.all.add(reader);
    this.known = undefined;
  }

  remove(reader: TopicReader): void {
    this.all.delete(reader);
    this.known = undefined;
  }
}

/** What patterns are from their first `#` or `>` on. */
interface Tail {
  readonly levels: readonly string[];
  readonly readers: Readers;
}

interface Node {
  readonly children: Map<string, Node>;
  /** Below `*`: any one level. */
  one: Node | undefined;
  /** By their text. */
  readonly tails: Map<string, Tail>;
  readonly readers: Readers;
}

const newNode = (): Node => ({ children: new Map(), one: undefined, tails: new Map(), readers: new Readers() });

export class Topics {
  /** Grows whenever somebody comes or goes: what was found under an older one may be wrong. */
  version = 0;
  /** Those who have messages on their way to readers. */
  readonly underWay = new Set<{ finish(): void }>();
  private readonly exact = new Map<string, Readers>();
  // Names with the prefix and names without are never the same.
  private readonly roots = { prefixed: newNode(), plain: newNode() };

  add(name: string, reader: TopicReader): void {
    this.version++;
    if (!isPattern(name)) {
      let readers = this.exact.get(name);
      if (readers === undefined) this.exact.set(name, (readers = new Readers()));
      readers.add(reader);
      return;
    }
    let node = this.root(name);
    const levels = levelsOf(name);
    for (const [at, level] of levels.entries()) {
      if (isRest(level)) {
        const tail = levels.slice(at);
        const text = tail.join('.');
        let known = node.tails.get(text);
        if (known === undefined) node.tails.set(text, (known = { levels: tail, readers: new Readers() }));
        known.readers.add(reader);
        return;
      }
      if (level === '*') node = node.one ??= newNode();
      else {
        let child = node.children.get(level);
        if (child === undefined) node.children.set(level, (child = newNode()));
        node = child;
      }
    }
    node.readers.add(reader);
  }

  remove(name: string, reader: TopicReader): void {
    this.version++;
    if (isPattern(name)) {
      this.prune(this.root(name), levelsOf(name), 0, reader);
      return;
    }
    const readers = this.exact.get(name);
    readers?.remove(reader);
    if (readers?.size === 0) this.exact.delete(name);
  }

  /** Everybody who reads that name, each once per subscription. */
  match(name: string): readonly TopicReader[] {
    const exact = this.exact.get(name)?.list ?? [];
    const root = this.root(name);
    if (isBare(root)) return exact;
    const found = [...exact];
    const levels = levelsOf(name);
    // No wildcard stands for the first level of a hidden name.
    let possible = isHidden(name) ? [{ ...root, one: undefined, tails: new Map<string, Tail>() }] : [root];
    for (let at = 0; possible.length > 0; at++) {
      const next: Node[] = [];
      for (const { children, one, tails, readers } of possible) {
        for (const tail of tails.values()) {
          if (tail.levels.length === 1 || fits(tail.levels, levels, at))
            for (const reader of tail.readers.list) found.push(reader);
        }
        if (at === levels.length) {
          for (const reader of readers.list) found.push(reader);
          continue;
        }
        const child = children.get(levels[at]!);
        if (child !== undefined) next.push(child);
        if (one !== undefined) next.push(one);
      }
      possible = next;
    }
    return found;
  }

  private root(name: string): Node {
    return isPrefixed(name) ? this.roots.prefixed : this.roots.plain;
  }

  /** Takes a reader out, and the nodes that nobody needs any more; tells whether this one is needed. */
  private prune(node: Node, levels: readonly string[], at: number, reader: TopicReader): boolean {
    const level = levels[at];
    if (level === undefined) node.readers.remove(reader);
    else if (isRest(level)) {
      const text = levels.slice(at).join('.');
      const tail = node.tails.get(text);
      tail?.readers.remove(reader);
      if (tail?.readers.size === 0) node.tails.delete(text);
    } else {
      const child = level === '*' ? node.one : node.children.get(level);
      if (child !== undefined && !this.prune(child, levels, at + 1, reader)) {
        if (level === '*') node.one = undefined;
        else node.children.delete(level);
      }
    }
    return node.readers.size > 0 || !isBare(node);
  }
}

/** Whether no pattern goes on here. */
const isBare = ({ children, one, tails }: Node) => children.size === 0 && one === undefined && tails.size === 0;
