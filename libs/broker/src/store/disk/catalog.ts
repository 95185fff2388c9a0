/*
 * Where each record that still counts stands. Records have numbers that only grow, so the catalog is a table in
 * pieces, and a piece of which nothing counts any more is dropped.
 *
 *   many of a piece count   a row for each of its numbers, found by the number
 *   few of it do            rows in the order of their numbers, in which it is looked for
 */

/** Numbers of a piece. */
const SIZE = 8192;
/** Rows of the smallest piece. */
const LEAST = 4;

/** What a row is made of: a number, a file, a place in that, a length, which is 0 where nothing counts. */
const ROW = 4;
const FILE = 1;
const OFFSET = 2;
const LENGTH = 3;

class Piece {
  /** Rows that count. */
  live = 0;
  cells = new Uint32Array(LEAST * ROW);
  /** By row; most messages never expire. */
  expires: Float64Array | undefined;
  /** Rows that are used. */
  private rows = 0;

  /** Where the cells of a number begin that counts; -1 when it has none. */
  find(number: number): number {
    const { cells } = this;
    const row = this.place(number);
    const at = row * ROW;
    return row < this.rows && cells[at] === number && cells[at + LENGTH] !== 0 ? at : -1;
  }

  /** Where the cells of a number begin, which has them now. */
  open(number: number): number {
    const row = this.place(number);
    const { cells, rows, expires } = this;
    if (rows === SIZE || (row < rows && cells[row * ROW] === number)) return row * ROW;
    if (rows * ROW === cells.length) {
      this.rebuild(this.live * 2 > rows ? 2 * rows : rows);
      return this.open(number);
    }
    if (row < rows) {
      cells.copyWithin((row + 1) * ROW, row * ROW, rows * ROW);
      expires?.copyWithin(row + 1, row, rows);
    }
    cells[row * ROW + LENGTH] = 0;
    this.rows++;
    return row * ROW;
  }

  /** What begins there does not count any more. */
  close(at: number): void {
    this.cells[at + LENGTH] = 0;
    this.live--;
    const room = this.cells.length / ROW;
    if (this.live * 3 < room && room > LEAST) this.rebuild(this.live);
  }

  /** The row of a number, or the one before which it belongs. */
  private place(number: number): number {
    const { cells, rows } = this;
    if (rows === SIZE) return number;
    // Mostly it is the highest.
    if (rows === 0 || cells[(rows - 1) * ROW]! < number) return rows;
    let from = 0;
    let to = rows - 1;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (cells[middle * ROW]! < number) from = middle + 1;
      else to = middle;
    }
    return from;
  }

  /** Keeps what counts, with room for so many rows. */
  private rebuild(room: number): void {
    const { cells, rows, expires } = this;
    const many = room >= SIZE;
    const length = many ? SIZE : Math.max(LEAST, room);
    const stays = length * ROW === cells.length;
    const newCells = stays ? cells : new Uint32Array(length * ROW);
    const newExpires = stays ? expires : expires && new Float64Array(length);
    let next = 0;
    for (let row = 0; row < rows; row++) {
      const from = row * ROW;
      if (cells[from + LENGTH] === 0) continue;
      const to = many ? cells[from]! : next++;
      newCells[to * ROW] = cells[from]!;
      newCells[to * ROW + FILE] = cells[from + FILE]!;
      newCells[to * ROW + OFFSET] = cells[from + OFFSET]!;
      newCells[to * ROW + LENGTH] = cells[from + LENGTH]!;
      if (newExpires !== undefined) newExpires[to] = expires![row]!;
    }
    this.cells = newCells;
    this.expires = newExpires;
    this.rows = many ? SIZE : next;
  }
}

export class Catalog {
  private readonly pieces = new Map<number, Piece>();
  /** Octets that count, by file. */
  readonly live = new Map<number, number>();

  set(seq: number, file: number, offset: number, length: number, expires: number): void {
    const key = Math.floor(seq / SIZE);
    const number = seq % SIZE;
    let piece = this.pieces.get(key);
    if (piece === undefined) this.pieces.set(key, (piece = new Piece()));
    const at = piece.open(number);
    const { cells } = piece;
    const before = cells[at + LENGTH]!;
    if (before === 0) piece.live++;
    else this.add(cells[at + FILE]!, -before);
    cells[at] = number;
    cells[at + FILE] = file;
    cells[at + OFFSET] = offset;
    cells[at + LENGTH] = length;
    if (expires !== 0) piece.expires ??= new Float64Array(cells.length / ROW);
    if (piece.expires !== undefined) piece.expires[at / ROW] = expires;
    this.add(file, length);
  }

  /** The file in which it stood; 0 when there was nothing. */
  delete(seq: number): number {
    const key = Math.floor(seq / SIZE);
    const piece = this.pieces.get(key);
    if (piece === undefined) return 0;
    const at = piece.find(seq % SIZE);
    if (at < 0) return 0;
    const file = piece.cells[at + FILE]!;
    this.add(file, -piece.cells[at + LENGTH]!);
    piece.close(at);
    if (piece.live === 0) this.pieces.delete(key);
    return file;
  }

  get(seq: number): { file: number; offset: number; length: number } | undefined {
    const piece = this.pieces.get(Math.floor(seq / SIZE));
    if (piece === undefined) return undefined;
    const at = piece.find(seq % SIZE);
    if (at < 0) return undefined;
    const { cells } = piece;
    return { file: cells[at + FILE]!, offset: cells[at + OFFSET]!, length: cells[at + LENGTH]! };
  }

  expires(seq: number): number {
    const piece = this.pieces.get(Math.floor(seq / SIZE));
    if (piece?.expires === undefined) return 0;
    const at = piece.find(seq % SIZE);
    return at < 0 ? 0 : piece.expires[at / ROW]!;
  }

  private add(file: number, octets: number): void {
    this.live.set(file, (this.live.get(file) ?? 0) + octets);
  }
}
