import { Logger } from '@nestjs/common';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { BrokerLogger, type BrokerLoggerOptions, type Verbosity } from '../../../apps/broker/src/logger.js';

class Sink {
  text = '';
  constructor(readonly isTTY = false) {}

  write(text: string): void {
    this.text += text;
  }

  /** The lines that were written; each must have been ended. */
  get lines(): string[] {
    expect(this.text === '' || this.text.endsWith('\n')).toBe(true);
    return this.text.split('\n').slice(0, -1);
  }

  get entries(): Record<string, unknown>[] {
    return this.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }
}

function make(verbosity: Verbosity, format: BrokerLoggerOptions['format'] = 'text', sink = new Sink()) {
  return { logger: new BrokerLogger({ verbosity, format, stream: sink }), sink };
}

const frame = {
  command: 'CONNECT',
  headers: new Map([
    ['login', 'bob'],
    ['passcode', 'hunter2'],
    ['Authorization', 'Bearer hunter2'],
  ]),
  body: Buffer.from('12345'),
};

describe('verbosity', () => {
  it.each([
    [0, 'warn error fatal'],
    [1, 'log warn error fatal'],
    [2, 'debug log warn error fatal'],
    [3, 'verbose debug log warn error fatal'],
    [4, 'frame verbose debug log warn error fatal'],
    [5, 'frame verbose debug log warn error fatal'],
  ] as [Verbosity, string][])('%i writes %s', (verbosity, expected) => {
    const { logger, sink } = make(verbosity);
    logger.frame('received', 'frame', { command: 'SEND', headers: [] });
    logger.verbose('verbose');
    logger.debug('debug');
    logger.log('log');
    logger.warn('warn');
    logger.error('error');
    logger.fatal('fatal');
    const words = sink.lines.map((line) => /(\w+)( received.*)?$/.exec(line)?.[1]);
    expect(words.join(' ')).toBe(expected);
  });

  it('below 3 spares the reader what Nest says while it starts', () => {
    for (const [verbosity, count] of [
      [1, 1],
      [3, 2],
    ] as const) {
      const { logger, sink } = make(verbosity);
      logger.log('AppModule dependencies initialized', 'InstanceLoader');
      logger.log('ready', 'Broker');
      expect(sink.lines).toHaveLength(count);
    }
  });

  it('4 writes frames, 5 their headers too with secrets masked', () => {
    const four = make(4);
    four.logger.frame('received', '127.0.0.1:5', frame);
    expect(four.sink.text).toMatch(/VERBOSE \[Frame\] 127\.0\.0\.1:5 received CONNECT, 5 bytes\n$/);

    const five = make(5);
    five.logger.frame('sent', '127.0.0.1:5', frame);
    expect(five.sink.text).toMatch(/sent CONNECT, 5 bytes login:bob passcode:\*\*\* Authorization:\*\*\*\n$/);
  });
});

describe('text', () => {
  it('is one line with time, level and context', () => {
    const { logger, sink } = make(1);
    logger.log('listening', 'Broker');
    expect(sink.text).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z LOG \[Broker\] listening\n$/);
  });

  it('writes control characters as escapes, so that no peer can forge a line or drive a terminal', () => {
    const { logger, sink } = make(5);
    logger.warn('a\nb\r\u001b[31m\u009b2J\u2028\u202e', 'x\ny');
    logger.frame('received', 'p', { command: 'SEND', headers: [['a\n', 'b\u0007']] });
    expect(sink.lines[0]).toContain(String.raw`[x\ny] a\nb\r\u001b[31m\u009b2J\u2028\u202e`);
    expect(sink.lines[1]).toContain(String.raw`a\n:b\u0007`);
    expect(sink.lines).toHaveLength(2);
  });

  it('indents the lines of a stack, those of the message escaped', () => {
    const { logger, sink } = make(0);
    const error = new Error('first\n2026-01-01 LOG forged');
    logger.error(error);
    logger.error('failed', error.stack);
    const [first, ...rest] = sink.lines;
    expect(first).toContain(String.raw`Error: first\n2026-01-01 LOG forged`);
    const unindented = rest.filter((line) => !line.startsWith('    '));
    expect(unindented).toHaveLength(1);
    expect(unindented[0]).toContain('ERROR failed');
  });

  it('has colours only on a terminal', () => {
    const asked = process.env.NO_COLOR;
    delete process.env.NO_COLOR;
    try {
      const terminal = make(0, 'text', new Sink(true));
      terminal.logger.warn('x');
      expect(terminal.sink.text).toContain('\u001b[');
      const file = make(0);
      file.logger.warn('x');
      expect(file.sink.text).not.toContain('\u001b[');
      const json = make(0, 'json', new Sink(true));
      json.logger.warn('x');
      expect(json.sink.entries).toHaveLength(1);
    } finally {
      if (asked !== undefined) {
        process.env.NO_COLOR = asked;
      }
    }
  });

  it('masks secrets in objects', () => {
    const { logger, sink } = make(0);
    logger.warn('refused', { login: 'bob', passcode: 'hunter2' });
    logger.warn({ login: 'bob', password: 'hunter2' });
    expect(sink.text).toContain("login: 'bob'");
    expect(sink.text).not.toContain('hunter2');
    expect(sink.lines).toHaveLength(2);
  });

  it('cuts a message that is too long to be read', () => {
    const { logger, sink } = make(0);
    logger.warn('x'.repeat(100_000));
    expect(sink.text.length).toBeLessThan(8500);
    expect(sink.text).toContain('(91808 more characters)');
  });
});

describe('json', () => {
  it('is one object a line with timestamp, level, context and message', () => {
    const { logger, sink } = make(2, 'json');
    logger.debug('opened', 'Session');
    logger.error(new Error('broken'), 'Broker');
    const [opened, broken] = sink.entries;
    expect(opened).toEqual({
      timestamp: expect.stringMatching(/^\d{4}-.*Z$/) as unknown,
      level: 'debug',
      context: 'Session',
      message: 'opened',
    });
    expect(broken).toMatchObject({ level: 'error', context: 'Broker', message: 'Error: broken' });
    expect(broken?.stack).toContain('logger.spec');
  });

  it('keeps extra fields, even those that refer to themselves', () => {
    const { logger, sink } = make(0, 'json');
    const loop: Record<string, unknown> = { peer: '127.0.0.1' };
    loop.self = loop;
    logger.warn('refused', loop);
    expect(sink.entries[0]).toMatchObject({ message: 'refused', params: { peer: '127.0.0.1' } });
  });
});

describe('whatever is logged', () => {
  it.each(['text', 'json'] as const)('is one line of printable characters in %s', (format) => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (message, context) => {
        const { logger, sink } = make(0, format);
        logger.warn(message, context);
        expect(sink.lines).toHaveLength(1);
        expect(sink.lines[0]).not.toMatch(/[\p{Cc}\u2028\u2029\u202a-\u202e]/u);
        if (format === 'json') {
          expect(sink.entries[0]?.message).toBe(message);
        }
      }),
    );
  });

  it("comes through Nest's own Logger too", () => {
    const { logger, sink } = make(2);
    Logger.overrideLogger(logger);
    try {
      new Logger('Session').debug('opened');
      expect(sink.text).toContain('DEBUG [Session] opened');
    } finally {
      Logger.overrideLogger(false);
    }
  });
});
