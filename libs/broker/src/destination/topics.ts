/*
 * Who reads what: the topic subscriptions of one virtual host.
 *
 * Exact names stand in a map. Patterns stand in a tree of levels; a name is matched level by level against the set
 * of nodes that are still possible, so the cost grows with the patterns that share its beginning, never with those
 * that do not.
 *
 *   /topic/a.*.c      root - a - * - c
 *   /topic/a.#        root - a - #        (# stays possible for any number of levels, none included)
 */
import { isHidden, isPattern, isPrefixed, levelsOf } from './pattern.js';
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

interface Node {
  readonly children: Map<string, Node>;
  /** Below `*`: any one level. */
  one: Node | undefined;
  /** Below `#` or `>`: any levels, or none. */
  rest: Node | undefined;
  /** Whether this is such a node itself. */
  readonly many: boolean;
  readonly readers: Readers;
}

const newNode = (many = false): Node => ({
  children: new Map(),
  one: undefined,
  rest: undefined,
  many,
  readers: new Readers(),
});

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
    for (const level of levelsOf(name)) {
      if (level === '*') node = node.one ??= newNode();
      else if (level === '#' || level === '>') node = node.many ? node : (node.rest ??= newNode(true));
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
    if (root.children.size === 0 && root.one === undefined && root.rest === undefined) return exact;
    let possible = new Set<Node>();
    reach(root, possible);
    // No wildcard stands for the first level of a hidden name.
    if (isHidden(name)) possible = new Set([{ ...root, one: undefined, rest: undefined }]);
    for (const level of levelsOf(name)) {
      const next = new Set<Node>();
      for (const node of possible) {
        if (node.many) next.add(node);
        reach(node.children.get(level), next);
        reach(node.one, next);
      }
      possible = next;
      if (possible.size === 0) return exact;
    }
    const found = [...exact];
    for (const { readers } of possible) for (const reader of readers.list) found.push(reader);
    return found;
  }

  private root(name: string): Node {
    return isPrefixed(name) ? this.roots.prefixed : this.roots.plain;
  }

  /** Takes a reader out, and the nodes that nobody needs any more; tells whether this one is needed. */
  private prune(node: Node, levels: readonly string[], at: number, reader: TopicReader): boolean {
    if (at === levels.length) node.readers.remove(reader);
    else {
      const level = levels[at]!;
      const rest = level === '#' || level === '>';
      const child = level === '*' ? node.one : rest ? (node.many ? node : node.rest) : node.children.get(level);
      if (child === node) return this.prune(node, levels, at + 1, reader);
      if (child !== undefined && !this.prune(child, levels, at + 1, reader)) {
        if (level === '*') node.one = undefined;
        else if (rest) node.rest = undefined;
        else node.children.delete(level);
      }
    }
    return node.readers.size + node.children.size > 0 || node.one !== undefined || node.rest !== undefined;
  }
}

/** Adds a node, and the one that any further levels lead to, none included. */
function reach(node: Node | undefined, into: Set<Node>): void {
  if (node === undefined) return;
  into.add(node);
  if (node.rest !== undefined) into.add(node.rest);
}
