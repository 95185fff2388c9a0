import type { LoggerService } from '@nestjs/common';
import { escapeText } from './escape.js';

/** Writes a program's warnings and errors to stderr, one line each; what Nest says of its start is left out. */
export class ProgramLogger implements LoggerService {
  constructor(private readonly name: string) {}

  log(): void {
    // A program that works is silent.
  }

  warn(message: unknown): void {
    this.write(message);
  }

  error(message: unknown): void {
    this.write(message);
  }

  private write(message: unknown): void {
    const text = message instanceof Error ? message.message : String(message);
    // On a terminal a line of progress may stand there.
    const clear = process.stderr.isTTY ? '\r\x1b[K' : '';
    process.stderr.write(`${clear}${this.name}: ${escapeText(text.replace(/\s*\n\s*/g, ' '))}\n`);
  }
}
