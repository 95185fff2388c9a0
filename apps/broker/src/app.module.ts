import { type DynamicModule, Module } from '@nestjs/common';
import { BrokerModule, type UserDirectory } from 'nestjs-stomp-broker';
import type { ServerLog } from 'nestjs-stomp/server';
import { admits } from './auth/addresses.js';
import { readTls } from './auth/tls.js';
import type { BrokerLogger } from './logger.js';
import type { Options } from './options.js';

/** The program: the broker module with the program's options. */
@Module({})
export class AppModule {
  /** @throws Error when a certificate cannot be used */
  static forRoot(options: Options, users: UserDirectory, logger: BrokerLogger): DynamicModule {
    const { allow, deny } = options;
    const broker = BrokerModule.forRoot({
      host: options.host,
      port: options.port,
      tls: readTls(options),
      users,
      vhosts: options.vhosts,
      admits: (address) => admits(address, { allow, deny }),
      heartbeat: { outgoing: options.heartbeatOut, incoming: options.heartbeatIn },
      heartbeatTolerance: options.heartbeatTolerance,
      idleTimeout: options.idleTimeout,
      loginTimeout: options.loginTimeout,
      policies: options.policies,
      ...(options.store === 'disk' && options.dataDir !== undefined
        ? {
            store: {
              directory: options.dataDir,
              sync: options.sync,
              report: (line) => logger.warn(line, 'Store'),
            },
          }
        : {}),
      ...(options.hideServer ? { server: '' } : {}),
      maxConnections: options.maxConnections,
      maxBody: options.maxBody,
      maxHeader: options.maxHeader,
      maxHeaders: options.maxHeaders,
      log: sessionLog(logger),
    });
    return { module: AppModule, imports: [broker] };
  }
}

/** What sessions say, at the logger's own levels. */
function sessionLog(logger: BrokerLogger): ServerLog {
  return {
    level: logger.verbosity,
    log: (level, line) => {
      if (level === 0) logger.error(line, 'Session');
      else if (level === 1) logger.log(line, 'Session');
      else if (level === 2) logger.debug(line, 'Session');
      else logger.verbose(line, 'Session');
    },
  };
}
