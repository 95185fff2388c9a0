import { BlockList, isIP, SocketAddress } from 'node:net';

/**
 * A list of peer addresses, compiled once: single addresses (`10.0.0.7`, `::1`), CIDR ranges (`10.0.0.0/8`,
 * `2001:db8::/32`) and globs on the written address (`192.168.*`, `*` for everyone; `?` is one character). An IPv4
 * address that arrives mapped into IPv6 (`::ffff:10.0.0.7`) counts as the IPv4 address it is; globs on IPv6 see the
 * short lower-case form (`2001:db8::1`).
 */
export class AddressList {
  private readonly ranges = new BlockList();
  private readonly globs: RegExp[] = [];

  /** @throws Error for an entry that is none of the above */
  constructor(readonly entries: readonly string[]) {
    for (const entry of entries) {
      this.add(entry);
    }
  }

  /** Whether this address is in the list. What is no IP address is in no list. */
  has(address: string): boolean {
    const peer = canonical(address);
    if (peer === undefined) {
      return false;
    }
    return this.ranges.check(peer, familyOf(peer)) || this.globs.some((glob) => glob.test(peer));
  }

  private add(entry: string): void {
    if (/^[\da-f.:]*[*?][\da-f.:*?]*$/i.test(entry)) {
      this.globs.push(compileGlob(entry));
      return;
    }
    const [written = '', prefix, ...rest] = entry.split('/');
    const address = canonical(written);
    if (address === undefined || rest.length > 0 || written.includes('%')) {
      throw new Error('must be an IP address, a range such as 10.0.0.0/8 or a glob such as 192.168.*');
    }
    if (prefix === undefined) {
      this.ranges.addAddress(address, familyOf(address));
    } else {
      this.ranges.addSubnet(address, prefixOf(prefix, written, address), familyOf(address));
    }
  }
}

/** Whose connections are taken. */
export interface AddressLists {
  allow: AddressList;
  deny: AddressList;
}

/**
 * Whether a peer may connect: its address must be in `allow` and not in `deny`. An address that is missing (the peer
 * is gone already) or unreadable may not.
 */
export function admits(address: string | undefined, lists: AddressLists): boolean {
  return address !== undefined && lists.allow.has(address) && !lists.deny.has(address);
}

/** The one way an address is written here: no zone, IPv6 in its short form, mapped IPv4 as IPv4. */
function canonical(address: string): string | undefined {
  const [bare = ''] = address.split('%');
  switch (isIP(bare)) {
    case 4:
      return bare;
    case 6: {
      const short = new SocketAddress({ address: bare, family: 'ipv6' }).address;
      return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(short)?.[1] ?? short;
    }
    default:
      return undefined;
  }
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return address.includes(':') ? 'ipv6' : 'ipv4';
}

/** The length of a range's prefix within `address`, which may be shorter than as `written` when that was mapped. */
function prefixOf(prefix: string, written: string, address: string): number {
  const bits = familyOf(address) === 'ipv4' ? 32 : 128;
  const mapped = bits === 32 && written.includes(':') ? 96 : 0;
  const length = /^\d{1,3}$/.test(prefix) ? Number(prefix) - mapped : NaN;
  if (!(length >= 0 && length <= bits)) {
    throw new Error(`must have a number from ${mapped} to ${mapped + bits} after the slash`);
  }
  return length;
}

function compileGlob(glob: string): RegExp {
  const source = glob
    .toLowerCase()
    .replace(/\*+/g, '*')
    .replace(/[.*?]/g, (character) => ({ '.': '\\.', '*': '.*', '?': '.' })[character] ?? character);
  return new RegExp(`^${source}$`);
}
