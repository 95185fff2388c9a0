import { SocketAddress } from 'node:net';

/** An IPv4 address that came mapped into IPv6 as the IPv4 address that it is; others as they are. */
export const plainAddress = (address: string | undefined): string | undefined => address?.replace(/^::ffff:/, '');

/** An IPv6 address as the system writes those of peers. */
export function shortAddress(address: string): string {
  const { address: short } = new SocketAddress({ address, family: 'ipv6' });
  return short.replace(/^::ffff:(?=\d+\.)/, '');
}
