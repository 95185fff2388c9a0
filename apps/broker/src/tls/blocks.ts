import { OptionsError } from '../options.error.js';

const END = /^-----END [A-Z0-9 ]+-----\s*$/;

/**
 * The blocks of a kind in a PEM text.
 *
 * @param label how errors name the file
 * @param kind for example `CERTIFICATE`
 * @throws OptionsError when one of them has no end: less would be read than the file is to hold
 */
export function blocksIn(text: string, label: string, kind: string): readonly string[] {
  const blocks = text.match(new RegExp(`-----BEGIN ${kind}-----[^-]+-----END ${kind}-----`, 'g')) ?? [];
  const begun = text.match(new RegExp(`-----BEGIN ${kind}-----`, 'g'))?.length ?? 0;
  const last = text.slice(text.lastIndexOf('\n') + 1);
  if (begun > blocks.length || (last.startsWith('-') && !END.test(last))) {
    throw new OptionsError([`${label}: is cut off, or half written: its last block (PEM) has no end`]);
  }
  return blocks;
}
