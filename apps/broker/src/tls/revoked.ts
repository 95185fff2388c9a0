// Before the library, whose parts find each other by it.
import 'reflect-metadata';
import type { X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { OptionsError } from '../options.error.js';
import { readOptionFile } from '../options.file.js';
import { blocksIn } from './blocks.js';

/**
 * The certificates that authorities have revoked. TLS itself looks at the lists for new connections, and at their
 * signatures; this is for those that are open.
 */
export class Revoked {
  private constructor(private readonly keys: ReadonlySet<string>) {}

  /** @throws OptionsError when the file holds no list (PEM) */
  static load(file: string): Revoked {
    const label = `revoked certificates ${file}`;
    const blocks = blocksIn(readOptionFile(file, label), label, 'X509 CRL');
    if (blocks.length === 0) throw new OptionsError([`${label}: holds no list of revoked certificates (PEM)`]);
    try {
      const lists = blocks.map((block) => new x509.X509Crl(block));
      return new Revoked(
        new Set(lists.flatMap(({ issuer, entries }) => entries.map((entry) => keyOf(issuer, entry.serialNumber)))),
      );
    } catch {
      throw new OptionsError([`${label}: holds a list that cannot be read`]);
    }
  }

  has({ raw }: X509Certificate): boolean {
    const { issuer, serialNumber } = new x509.X509Certificate(raw);
    return this.keys.has(keyOf(issuer, serialNumber));
  }
}

const keyOf = (issuer: string, serial: string) => `${serial} ${issuer}`;
