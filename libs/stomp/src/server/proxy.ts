import { isIP, type Socket } from 'node:net';
import { shortAddress } from './address.js';

/** Before anything else of version 2. No first bytes of STOMP or of TLS are like it. */
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const PREFIX = Buffer.from('PROXY ', 'latin1');
/** The longest line of version 1, with its CR LF. */
const MAX_LINE = 107;
const HEAD = 16;
/** The longest rest of a header of version 2 that is taken: addresses, and what proxies say besides. */
const MAX_REST = 2_048;
const [LOCAL, PROXIED] = [0x20, 0x21];

/** A header of the PROXY protocol: how many octets it has, and the client's address where it names one. */
interface ProxyHeader {
  readonly length: number;
  readonly address: string | undefined;
}

/**
 * Reads the header of the PROXY protocol, version 1 or 2, that a connection begins with; what follows it stays in the
 * socket, unread and paused.
 *
 * @param deadline how long it may take to come, in ms
 * @returns the client's address; undefined where the proxy speaks for itself or does not know
 * @throws Error when it is none, is too long, or does not come in time
 */
export function readProxyHeader(socket: Socket, deadline: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    let read = Buffer.alloc(0);
    const settle = (act: () => void) => {
      clearTimeout(timer);
      socket.off('readable', onReadable).off('end', onEnd).off('error', onError).off('close', onEnd);
      act();
    };
    const onReadable = () => {
      for (let chunk: Buffer | null; (chunk = socket.read() as Buffer | null) !== null;) {
        read = Buffer.concat([read, chunk]);
        let header: ProxyHeader | undefined;
        try {
          header = parseProxyHeader(read);
        } catch (error) {
          onError(error as Error);
          return;
        }
        if (header === undefined) continue;
        const { length, address } = header;
        settle(() => {
          if (read.length > length) socket.unshift(read.subarray(length));
          resolve(address);
        });
        return;
      }
    };
    const onEnd = () => settle(() => reject(new Error('the connection ended before its PROXY header')));
    const onError = (error: Error) => settle(() => reject(error));
    const timer = setTimeout(
      () => settle(() => reject(new Error(`no PROXY header came within ${deadline} ms`))),
      deadline,
    );
    socket.on('readable', onReadable).on('end', onEnd).on('error', onError).on('close', onEnd);
    // Whatever is wrong with it later is for whoever takes it over.
    socket.on('error', () => undefined);
  });
}

/**
 * The header that these octets begin with; undefined while more of them are needed.
 *
 * @throws Error when they are none
 */
export function parseProxyHeader(octets: Buffer): ProxyHeader | undefined {
  if (begins(octets, PREFIX)) return octets.length < PREFIX.length ? undefined : parseLine(octets);
  if (begins(octets, SIGNATURE)) return octets.length < HEAD ? undefined : parseBinary(octets);
  throw new Error('a proxy has to begin its connections with a PROXY header, and this one did not');
}

const begins = (octets: Buffer, with_: Buffer): boolean => {
  const length = Math.min(octets.length, with_.length);
  return octets.compare(with_, 0, length, 0, length) === 0;
};

/** Version 1: `PROXY TCP4 192.0.2.1 198.51.100.1 50312 61613`, or `PROXY UNKNOWN` and anything. */
function parseLine(octets: Buffer): ProxyHeader | undefined {
  const end = octets.subarray(0, MAX_LINE).indexOf('\r\n');
  if (end < 0) {
    if (octets.length < MAX_LINE) return undefined;
    throw new Error(`the line of the PROXY header is longer than ${MAX_LINE} octets`);
  }
  const [, family, ...rest] = octets.toString('latin1', 0, end).split(' ');
  const length = end + 2;
  if (family === 'UNKNOWN') return { length, address: undefined };
  const version = family === 'TCP4' ? 4 : family === 'TCP6' ? 6 : undefined;
  const [source = '', destination = '', ...ports] = rest;
  const valid =
    version !== undefined &&
    isIP(source) === version &&
    isIP(destination) === version &&
    ports.length === 2 &&
    ports.every((port) => /^(0|[1-9]\d{0,4})$/.test(port) && Number(port) <= 65_535);
  if (!valid) throw new Error('the PROXY header cannot be read');
  return { length, address: version === 4 ? source : shortAddress(source) };
}

/** Version 2: signature, command, family, length of the rest; then the addresses. */
function parseBinary(octets: Buffer): ProxyHeader | undefined {
  const command = octets[12]!;
  const family = octets[13]!;
  const rest = octets.readUInt16BE(14);
  if (command !== LOCAL && command !== PROXIED) throw new Error('the PROXY header has an unknown version or command');
  if (rest > MAX_REST) throw new Error(`the PROXY header is longer than ${HEAD + MAX_REST} octets`);
  const length = HEAD + rest;
  // 0x1_ is IPv4, 0x2_ IPv6; what else there is has no address that could be allowed or refused.
  const least = family >> 4 === 1 ? 12 : family >> 4 === 2 ? 36 : 0;
  if (command === PROXIED && rest < least) throw new Error('the PROXY header is too short for its addresses');
  if (octets.length < length) return undefined;
  if (command === LOCAL || least === 0) return { length, address: undefined };
  if (least === 12) return { length, address: octets.subarray(HEAD, HEAD + 4).join('.') };
  const groups = Array.from({ length: 8 }, (_, at) => octets.readUInt16BE(HEAD + 2 * at).toString(16));
  return { length, address: shortAddress(groups.join(':')) };
}
