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

interface Node {
  readonly children: Map<string, Node>;
  /** Below `*`: any one level. */
  one: Node | undefined;
  /** Below `#` or `>`: any levels, or none. */
  rest: Node | undefined;
  /** Whether this is such a node itself. */
  readonly many: boolean;
  readers: readonly TopicReader[];
}

const newNode = (many = false): Node => ({ children: new Map(), one: undefined, rest: undefined, many, readers: [] });

export class Topics {
  /** Grows whenever somebody comes or goes: what was found under an older one may be wrong. */
  version = 0;
  private readonly exact = new Map<string, readonly TopicReader[]>();
  // Names with the prefix and names without are never the same.
  private readonly roots = { prefixed: newNode(), plain: newNode() };

  add(name: string, reader: TopicReader): void {
    this.version++;
    if (!isPattern(name)) {
      this.exact.set(name, [...(this.exact.get(name) ?? []), reader]);
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
    node.readers = [...node.readers, reader];
  }

  remove(name: string, reader: TopicReader): void {
    this.version++;
    if (isPattern(name)) {
      this.prune(this.root(name), levelsOf(name), 0, reader);
      return;
    }
    const left = (this.exact.get(name) ?? []).filter((other) => other !== reader);
    if (left.length > 0) this.exact.set(name, left);
    else this.exact.delete(name);
  }

  /** Everybody who reads that name, each once per subscription. */
  match(name: string): readonly TopicReader[] {
    const exact = this.exact.get(name) ?? [];
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
    for (const { readers } of possible) found.push(...readers);
    return found;
  }

  private root(name: string): Node {
    return isPrefixed(name) ? this.roots.prefixed : this.roots.plain;
  }

  /** Takes a reader out, and the nodes that nobody needs any more; tells whether this one is needed. */
  private prune(node: Node, levels: readonly string[], at: number, reader: TopicReader): boolean {
    if (at === levels.length) node.readers = node.readers.filter((other) => other !== reader);
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
    return node.readers.length + node.children.size > 0 || node.one !== undefined || node.rest !== undefined;
  }
}

/** Adds a node, and the one that any further levels lead to, none included. */
function reach(node: Node | undefined, into: Set<Node>): void {
  if (node === undefined) return;
  into.add(node);
  if (node.rest !== undefined) into.add(node.rest);
}
