import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { AccessRules, StompBroker } from 'nestjs-stomp-broker';
import { AppModule } from './app.module.js';
import { openAudit } from './audit.js';
import { Identities } from './auth/identities.js';
import type { Users } from './auth/users.js';
import { BrokerLogger, type Verbosity } from './logger.js';
import type { Options } from './options.js';
import { Reload } from './reload.js';

/**
 * Runs the broker until the process is told to end: by the first signal gracefully, by the second at once.
 *
 * @param read reads the options anew, for what of them can change while it runs
 * @throws Error when it cannot start: the port is in use, a certificate cannot be used
 */
export async function run(options: Options, users: Users, read: () => Options): Promise<void> {
  const logger = new BrokerLogger({ verbosity: options.verbose as Verbosity, format: options.logFormat });
  const identities = new Identities({ users, certUser: options.certUser, certUsers: options.certUsers });
  const audit =
    options.auditLog === undefined
      ? undefined
      : openAudit(options.auditLog, ({ message }) =>
          logger.error(`the audit log cannot be written: ${message}`, 'Audit'),
        );
  const app = await NestFactory.createApplicationContext(AppModule.forRoot(options, identities, logger, audit), {
    logger,
    abortOnError: false,
  });
  const broker = app.get(StompBroker);
  const rules = app.get(AccessRules, { strict: false });
  const reload = new Reload({ broker, rules, identities, logger, read }, options);
  process.on('SIGHUP', () => void reload.now());
  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) process.exit(1);
    stopping = true;
    reload.stop();
    logger.log(`${signal}: ending sessions; a second signal exits at once`, 'Broker');
    app.close().then(
      () => process.exit(0),
      (error: unknown) => {
        logger.error(error, 'Broker');
        process.exit(1);
      },
    );
  };
  // Before the lines that tell somebody that it can be stopped.
  process.on('SIGTERM', stop).on('SIGINT', stop);

  for (const url of broker.urls) process.stdout.write(`listening ${url}\n`);
  if (identities.size === 0) logger.log('no users are configured: everybody may connect', 'Broker');
}
