import { isIPv6, SocketAddress } from 'node:net';

/** An IPv4 address that came mapped into IPv6 as the IPv4 address that it is; others as they are. */
export const plainAddress = (address: string | undefined): string | undefined => address?.replace(/^::ffff:/, '');

/** Whose an address is, where clients are counted: an IPv4 address, the first half of an IPv6 one, of which a host has 2^64. */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const [head = '', tail] = address.split('%')[0]!.split('::');
  const groups = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? [] : Array<string>(Math.max(0, 8 - groups.length - after.length)).fill('0');
  return [...groups, ...zeros, ...after].slice(0, 4).join(':');
}

/** An IPv6 address as the system writes those of peers. */
export function shortAddress(address: string): string {
  const { address: short } = new SocketAddress({ address, family: 'ipv6' });
  return short.replace(/^::ffff:(?=\d+\.)/, '');
}
