import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { isatty } from 'node:tty';
import { AccessRules, Lockout, StompBroker } from 'nestjs-stomp-broker';
import { AppModule } from './app.module.js';
import { AuditLog } from './audit.js';
import { Identities } from './auth/identities.js';
import type { Proofs } from './auth/proofs.js';
import { BrokerLogger, type Verbosity } from './logger.js';
import type { Options } from './options.js';
import { Reload } from './reload.js';
import { Rest } from './rest.js';

/**
 * Runs the broker until the process is told to end: by the first signal gracefully, by the second at once.
 *
 * @param read reads the options anew, for what of them can change while it runs
 * @throws Error when it cannot start: the port is in use, a certificate cannot be used
 */
export async function run(options: Options, proofs: Proofs, read: () => Options): Promise<void> {
  const logger = new BrokerLogger({ verbosity: options.verbose as Verbosity, format: options.logFormat });
  const identities = new Identities(proofs, (line) => logger.warn(line, 'Tokens'));
  const { auditLog, allow, deny } = options;
  const addresses = { allow, deny };
  const audit = auditLog === undefined ? undefined : openAudit(auditLog, logger);
  const parts = { users: identities, addresses, logger, audit: audit?.write };
  const app = await NestFactory.createApplicationContext(AppModule.forRoot(options, parts), {
    logger,
    abortOnError: false,
  });
  const broker = app.get(StompBroker);
  const rules = app.get(AccessRules, { strict: false });
  const lockout = app.get(Lockout, { strict: false });
  const reload = new Reload({ broker, rules, lockout, identities, addresses, logger, read }, options, proofs);
  const rest = new Rest(() => broker.sessions.size);
  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) process.exit(1);
    stopping = true;
    reload.stop();
    rest.stop();
    logger.log(`${signal}: ending sessions; a second signal exits at once`, 'Broker');
    app
      .close()
      .then(() => audit?.close())
      .then(
        () => process.exit(0),
        (error: unknown) => {
          logger.error(error, 'Broker');
          process.exit(1);
        },
      );
  };
  // Before the lines that tell somebody that it can be stopped.
  process.on('SIGTERM', stop).on('SIGINT', stop);
  const terminals = [0, 1, 2].filter((descriptor) => isatty(descriptor));
  process.on('SIGHUP', (signal) => {
    // The terminal that it was started in is gone: nobody is there any more to end it.
    if (terminals.some((descriptor) => !isatty(descriptor))) stop(signal);
    else {
      audit?.reopen();
      void reload.now();
    }
  });
  // What nobody reads any more is no reason to end in disorder.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

  for (const url of broker.urls) process.stdout.write(`listening ${url}\n`);
  if (identities.size === 0) logger.log('no users are configured: everybody may connect', 'Broker');
  void identities.prepare();
}

/** @throws Error when the file cannot be opened */
function openAudit(file: string, logger: BrokerLogger): AuditLog {
  try {
    return new AuditLog(file, ({ message }) => logger.error(`the audit log cannot be written: ${message}`, 'Audit'));
  } catch (cause) {
    throw new Error(`cannot write --audit-log ${file}: ${(cause as NodeJS.ErrnoException).code}`, { cause });
  }
}
