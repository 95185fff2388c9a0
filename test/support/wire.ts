/**
 * The protocol as the tests see it, from the octets up: a frame, a writer and a reader of their own. Nothing here
 * uses the library, so that an error in its codec cannot cancel itself out.
 */
export type Version = '1.0' | '1.1' | '1.2';

export type Headers = Record<string, string>;

const LF = 0x0a;
const CR = 0x0d;
const NULL = 0x00;

const escapes: Record<Version, Record<string, string>> = {
  '1.0': {},
  '1.1': { '\n': '\\n', ':': '\\c', '\\': '\\\\' },
  '1.2': { '\r': '\\r', '\n': '\\n', ':': '\\c', '\\': '\\\\' },
};

/** Frames whose headers are never escaped, whatever the version. */
const literal = new Set(['CONNECT', 'STOMP', 'CONNECTED']);

/** Escapes one header name or value as a client of this version has to. */
export function escape(text: string, version: Version): string {
  const table = escapes[version];
  return text.replace(/[\r\n:\\]/g, (octet) => table[octet] ?? octet);
}

function unescape(text: string, version: Version): string {
  if (version === '1.0') return text;
  const table = Object.entries(escapes[version]);
  return text.replace(/\\[^]?/g, (pair) => {
    const entry = table.find(([, escaped]) => escaped === pair);
    if (entry === undefined) throw new Error(`undefined escape ${JSON.stringify(pair)} in a ${version} frame`);
    return entry[0];
  });
}

/** The octets of a frame with its header names and values escaped by the rules of `version`; adds nothing else. */
export function frame(version: Version, command: string, headers: Headers = {}, body: string | Buffer = ''): Buffer {
  const plain = literal.has(command) ? '1.0' : version;
  const lines = Object.entries(headers).map(([name, value]) => `${escape(name, plain)}:${escape(value, plain)}\n`);
  return Buffer.concat([Buffer.from(`${command}\n${lines.join('')}\n`), Buffer.from(body), Buffer.of(NULL)]);
}

/** A frame as it came, its headers unescaped by the rules of the connection's version. */
export class RawFrame {
  constructor(
    readonly command: string,
    /** Names and values in their order, repeated ones included. */
    readonly headers: ReadonlyArray<readonly [name: string, value: string]>,
    readonly body: Buffer,
    /** The octets, with the EOL right after the NULL if there was one. */
    readonly raw: Buffer,
    /** The header lines as they were on the wire. */
    readonly lines: readonly string[],
  ) {}

  /** The first header of this name, the only one that counts. */
  header(name: string): string | undefined {
    return this.headers.find(([key]) => key === name)?.[1];
  }

  get text(): string {
    return this.body.toString();
  }
}

/** Cuts a stream of octets into frames and the EOLs between them; throws at the first octet that fits nowhere. */
export class FrameReader {
  /** Undefined until the version is negotiated: then nothing is unescaped. */
  version: Version | undefined;
  #octets: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): Array<RawFrame | 'EOL'> {
    this.#octets = Buffer.concat([this.#octets, chunk]);
    const found: Array<RawFrame | 'EOL'> = [];
    for (;;) {
      this.#skipEols(found);
      const next = this.#frame();
      if (next === undefined) return found;
      found.push(next);
    }
  }

  #skipEols(found: Array<RawFrame | 'EOL'>): void {
    let at = 0;
    for (; this.#octets[at] === LF || this.#octets[at] === CR; at++) {
      if (this.#octets[at] === LF) found.push('EOL');
    }
    this.#octets = this.#octets.subarray(at);
  }

  #frame(): RawFrame | undefined {
    const lines: string[] = [];
    let at = 0;
    for (;;) {
      const end = this.#octets.indexOf(LF, at);
      if (end < 0) return undefined;
      const line = this.#line(at, end);
      at = end + 1;
      if (line === '') break;
      lines.push(line);
    }
    const [command = '', ...headerLines] = lines;
    const headers = headerLines.map((line) => this.#header(command, line));
    const end = this.#bodyEnd(at, headers.find(([name]) => name === 'content-length')?.[1]);
    if (end === undefined) return undefined;

    let next = end + 1;
    if (this.#octets[next] === CR && this.#octets[next + 1] === LF) next += 2;
    else if (this.#octets[next] === LF) next += 1;
    const raw = this.#octets.subarray(0, next);
    this.#octets = this.#octets.subarray(next);
    const read = new RawFrame(command, headers, raw.subarray(at, end), raw, headerLines);
    if (command === 'CONNECTED') this.version = (read.header('version') ?? '1.0') as Version;
    return read;
  }

  #line(from: number, to: number): string {
    const crlf = this.version === undefined || this.version === '1.2';
    const end = crlf && to > from && this.#octets[to - 1] === CR ? to - 1 : to;
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.#octets.subarray(from, end));
  }

  #header(command: string, line: string): readonly [string, string] {
    const colon = line.indexOf(':');
    if (colon < 1) throw new Error(`malformed header line ${JSON.stringify(line)} in ${command}`);
    const rules = literal.has(command) ? '1.0' : (this.version ?? '1.0');
    return [unescape(line.slice(0, colon), rules), unescape(line.slice(colon + 1), rules)];
  }

  #bodyEnd(start: number, contentLength: string | undefined): number | undefined {
    if (contentLength === undefined) {
      const end = this.#octets.indexOf(NULL, start);
      return end < 0 ? undefined : end;
    }
    if (!/^\d+$/.test(contentLength)) throw new Error(`malformed content-length ${JSON.stringify(contentLength)}`);
    const end = start + Number(contentLength);
    if (this.#octets.length <= end) return undefined;
    if (this.#octets[end] !== NULL) throw new Error(`no NULL after the ${contentLength} octets of content-length`);
    return end;
  }
}
