/** Pieces of at least so many octets stay where they are. */
const LARGE = 1024;

/** The body of a frame of which a part has come, in the pieces in which it came. */
export class Body {
  /** Octets that are there. */
  size = 0;
  private readonly pieces: Buffer[] = [];
  private tail: Buffer | undefined;
  private tailSize = 0;

  /** Small pieces are copied together, so that a slow sender does not make a list of single bytes. */
  add(piece: Buffer): void {
    this.size += piece.length;
    if (piece.length >= LARGE) {
      this.seal();
      this.pieces.push(piece);
      return;
    }
    if (this.tailSize + piece.length > LARGE) this.seal();
    this.tail ??= Buffer.allocUnsafeSlow(LARGE);
    this.tailSize += piece.copy(this.tail, this.tailSize);
  }

  /** All of it; nothing is added any more. */
  end(): Buffer[] {
    this.seal();
    return this.pieces;
  }

  private seal(): void {
    if (this.tail === undefined) return;
    this.pieces.push(this.tail.subarray(0, this.tailSize));
    this.tail = undefined;
    this.tailSize = 0;
  }
}
