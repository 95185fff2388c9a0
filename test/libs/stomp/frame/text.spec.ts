import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { decodeText, encodeText, Frame, negotiateVersion } from 'nestjs-stomp/frame';

const unencodable = expect.objectContaining({ name: 'FrameError', code: 'body-unencodable' });

describe('text', () => {
  it.each([
    ['us-ascii', 0x7f],
    ['iso-8859-1', 0xff],
    ['latin1', 0xff],
    ['utf-8', 0x10ffff],
    ['utf8', 0x10ffff],
    ['utf-16le', 0x10ffff],
    [undefined, 0x10ffff],
  ])('in the charset %s comes back as it was', (charset, highest) => {
    const type = charset === undefined ? 'text/plain' : `text/plain;charset=${charset}`;
    const character = fc.integer({ min: 0, max: highest }).filter((code) => code < 0xd800 || code > 0xdfff);
    fc.assert(
      fc.property(fc.array(character), (codes) => {
        const text = String.fromCodePoint(...codes);
        expect(decodeText(encodeText(text, type), type)).toBe(text);
        expect(new Frame('SEND').setText(text, type).text).toBe(text);
      }),
    );
  });

  it('has the octets of its charset', () => {
    expect(encodeText('ü')).toEqual(Buffer.of(0xc3, 0xbc));
    expect(encodeText('ü', 'text/plain; Charset="ISO-8859-1"; x=y')).toEqual(Buffer.of(0xfc));
    expect(encodeText('ü', 'text/plain;charset=utf-16le')).toEqual(Buffer.of(0xfc, 0));
    expect(decodeText(Buffer.of(0x93, 0xfa), 'text/plain;charset=shift_jis')).toBe('日');
    expect(decodeText(Buffer.of(0xa4), 'text/plain;charset=iso-8859-15')).toBe('€');
  });

  it('keeps a byte order mark', () => {
    expect(decodeText(Buffer.of(0xef, 0xbb, 0xbf, 0x61))).toBe('\ufeffa');
  });

  it.each([
    ['octets that are not UTF-8', () => decodeText(Buffer.of(0xff))],
    ['octets that are not ASCII', () => decodeText(Buffer.of(0xff), 'text/plain;charset=us-ascii')],
    ['an unknown charset', () => decodeText(Buffer.of(1), 'text/plain;charset=klingon')],
    ['a charset that is not written here', () => encodeText('a', 'text/plain;charset=shift_jis')],
    ['text beyond ASCII', () => encodeText('ü', 'text/plain;charset=us-ascii')],
    ['text beyond Latin-1', () => encodeText('a😀', 'text/plain;charset=iso-8859-1')],
  ])('is refused: %s', (_, act) => {
    expect(act).toThrow(unencodable);
  });
});

describe('the version of a session', () => {
  it.each([
    [undefined, '1.0'],
    ['1.0', '1.0'],
    ['1.0,1.1,1.2', '1.2'],
    ['1.2,1.1,1.0', '1.2'],
    ['1.0,1.1,2.0', '1.1'],
    [' 1.1 , 1.0 ', '1.1'],
    ['1.1,,x', '1.1'],
    ['2.0', undefined],
    ['', undefined],
    ['1.2.1,11.2', undefined],
  ])('for accept-version %j is %j', (accepted, version) => {
    expect(negotiateVersion(accepted)).toBe(version);
  });
});
