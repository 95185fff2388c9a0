import { createWriteStream, type WriteStream } from 'node:fs';
import type { Audit } from 'nestjs-stomp-broker';
import { escapeJson } from './escape.js';

/** Octets that may wait for a slow disk; what comes then is dropped, and said so. */
const MOST_WAITING = 16 * 1024 * 1024;

/**
 * Writes a line of JSON for each event, in which no control character stands as itself.
 *
 * @param file - is stderr
 * @param failed told when the file cannot be written
 */
export function openAudit(file: string, failed: (error: Error) => void): Audit {
  const stream = file === '-' ? process.stderr : openFile(file, failed);
  let dropped = 0;
  return (event) => {
    if (stream.writableLength > MOST_WAITING) {
      dropped++;
      return;
    }
    const line = { time: new Date().toISOString(), ...event, ...(dropped > 0 && { dropped }) };
    dropped = 0;
    stream.write(`${escapeJson(JSON.stringify(line))}\n`);
  };
}

function openFile(file: string, failed: (error: Error) => void): WriteStream {
  return createWriteStream(file, { flags: 'a', mode: 0o600 }).on('error', failed);
}
