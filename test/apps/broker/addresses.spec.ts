import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { AddressList, admits } from '../../../apps/broker/src/auth/addresses.js';

const lists = (allow: string[], deny: string[] = []) => ({
  allow: new AddressList(allow),
  deny: new AddressList(deny),
});

describe('an address list', () => {
  it.each([
    ['10.0.0.7', '10.0.0.7', true],
    ['10.0.0.7', '10.0.0.70', false],
    ['10.0.0.0/8', '10.255.0.1', true],
    ['10.0.0.0/8', '11.0.0.1', false],
    ['10.1.2.3/8', '10.9.9.9', true],
    ['0.0.0.0/0', '203.0.113.1', true],
    ['0.0.0.0/0', '::1', false],
    ['192.168.*', '192.168.1.2', true],
    ['192.168.*', '192.169.1.2', false],
    ['192.168.*', '10.192.168.1', false],
    ['192.168.1.?', '192.168.1.9', true],
    ['192.168.1.?', '192.168.1.10', false],
    ['*', '2001:db8::1', true],
    ['::1', '0:0:0:0:0:0:0:1', true],
    ['2001:DB8::/32', '2001:db8:ffff::1', true],
    ['2001:db8::/32', '2001:db9::1', false],
    ['2001:DB8:*', '2001:db8::1', true],
    ['fe80::/10', 'fe80::1%eth0', true],
    ['10.0.0.0/8', '::ffff:10.0.0.1', true],
    ['10.0.0.*', '::FFFF:10.0.0.1', true],
    ['10.0.0.1', '::ffff:a00:1', true],
    ['::ffff:10.0.0.1', '10.0.0.1', true],
    ['::ffff:10.0.0.0/104', '10.9.9.9', true],
    ['::ffff:10.0.0.0/104', '11.9.9.9', false],
    ['*', 'no address', false],
    ['*', '', false],
  ])('of %s: whether it has %s is %s', (entry, address, expected) => {
    expect(new AddressList([entry]).has(address)).toBe(expected);
  });

  it.each([
    '',
    'localhost',
    '300.1.1.1',
    '10.0.0',
    '10.0.0.0/',
    '1.2.3.4/8/8',
    'example.*',
    '192.168.[0-9].*',
    'fe80::1%a',
  ])('cannot hold "%s"', (entry) => {
    expect(() => new AddressList([entry])).toThrow(/^must (be an IP address|have a number)/);
  });

  it.each([
    ['10.0.0.0/33', 'from 0 to 32'],
    ['10.0.0.0/-1', 'from 0 to 32'],
    ['10.0.0.0/255.0.0.0', 'from 0 to 32'],
    ['::/129', 'from 0 to 128'],
    ['::ffff:10.0.0.0/8', 'from 96 to 128'],
  ])('cannot hold the range %s', (entry, reason) => {
    expect(() => new AddressList([entry])).toThrow(reason);
  });

  it('finds an IPv4 address in its range, however long the prefix and however it is written', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.integer({ min: 0, max: 32 }), fc.ipV4(), (network, prefix, other) => {
        const number = (address: string) => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
        const size = 2 ** (32 - prefix);
        const inside = Math.floor(number(network) / size) === Math.floor(number(other) / size);
        const range = new AddressList([`${network}/${prefix}`]);
        expect(range.has(network)).toBe(true);
        expect(range.has(other)).toBe(inside);
        expect(range.has(`::ffff:${other}`)).toBe(inside);
      }),
    );
  });
});

describe('a peer', () => {
  it('is admitted when it is allowed and not denied', () => {
    const rules = lists(['10.0.0.0/8', '::1'], ['10.66.*']);
    expect(admits('10.1.1.1', rules)).toBe(true);
    expect(admits('::1', rules)).toBe(true);
    expect(admits('10.66.1.1', rules)).toBe(false);
    expect(admits('::ffff:10.66.1.1', rules)).toBe(false);
    expect(admits('192.168.1.1', rules)).toBe(false);
  });

  it('that is denied by name alone leaves the others alone', () => {
    const rules = lists(['*'], ['10.0.0.1']);
    expect(admits('10.0.0.1', rules)).toBe(false);
    expect(admits('10.0.0.2', rules)).toBe(true);
  });

  it('whose address is missing or unreadable is not admitted', () => {
    expect(admits(undefined, lists(['*']))).toBe(false);
    expect(admits('/run/socket', lists(['*']))).toBe(false);
  });
});
