import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { StompBroker, type UserDirectory } from 'nestjs-stomp-broker';
import { AppModule } from './app.module.js';
import { BrokerLogger, type Verbosity } from './logger.js';
import type { Options } from './options.js';

/**
 * Runs the broker until the process is told to end: by the first signal gracefully, by the second at once.
 *
 * @throws Error when it cannot start: the port is in use, a certificate cannot be used
 */
export async function run(options: Options, users: UserDirectory): Promise<void> {
  const logger = new BrokerLogger({ verbosity: options.verbose as Verbosity, format: options.logFormat });
  const app = await NestFactory.createApplicationContext(AppModule.forRoot(options, users, logger), {
    logger,
    abortOnError: false,
  });
  let stopping = false;
  const stop = (signal: NodeJS.Signals) => {
    if (stopping) process.exit(1);
    stopping = true;
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

  for (const url of app.get(StompBroker).urls) process.stdout.write(`listening ${url}\n`);
  if (users.size === 0) logger.log('no users are configured: everybody may connect', 'Broker');
}
