/*
 * Where each record that still counts stands. Records have numbers that only grow, so the catalog is a table in
 * pieces, and a piece of which nothing counts any more is dropped.
 */
const SIZE = 512;

class Piece {
  live = 0;
  readonly file = new Uint32Array(SIZE);
  readonly offset = new Uint32Array(SIZE);
  readonly length = new Uint32Array(SIZE);
  readonly expires = new Float64Array(SIZE);
}

export class Catalog {
  private readonly pieces = new Map<number, Piece>();
  /** Octets that count, by file. */
  readonly live = new Map<number, number>();

  set(seq: number, file: number, offset: number, length: number, expires: number): void {
    const key = Math.floor(seq / SIZE);
    const at = seq % SIZE;
    let piece = this.pieces.get(key);
    if (piece === undefined) this.pieces.set(key, (piece = new Piece()));
    if (piece.length[at] === 0) piece.live++;
    else this.add(piece.file[at]!, -piece.length[at]!);
    piece.file[at] = file;
    piece.offset[at] = offset;
    piece.length[at] = length;
    piece.expires[at] = expires;
    this.add(file, length);
  }

  /** The file in which it stood; 0 when there was nothing. */
  delete(seq: number): number {
    const key = Math.floor(seq / SIZE);
    const at = seq % SIZE;
    const piece = this.pieces.get(key);
    if (piece === undefined || piece.length[at] === 0) return 0;
    const file = piece.file[at]!;
    this.add(file, -piece.length[at]!);
    piece.length[at] = 0;
    if (--piece.live === 0) this.pieces.delete(key);
    return file;
  }

  get(seq: number): { file: number; offset: number; length: number } | undefined {
    const piece = this.pieces.get(Math.floor(seq / SIZE));
    const at = seq % SIZE;
    if (piece === undefined || piece.length[at] === 0) return undefined;
    return { file: piece.file[at]!, offset: piece.offset[at]!, length: piece.length[at]! };
  }

  expires(seq: number): number {
    return this.pieces.get(Math.floor(seq / SIZE))?.expires[seq % SIZE] ?? 0;
  }

  private add(file: number, octets: number): void {
    this.live.set(file, (this.live.get(file) ?? 0) + octets);
  }
}
