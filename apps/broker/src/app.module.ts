import { type DynamicModule, Module } from '@nestjs/common';
import { type Audit, BrokerModule, type Rules, type UserDirectory } from 'nestjs-stomp-broker';
import type { ServerLog } from 'nestjs-stomp/server';
import { admits } from './auth/addresses.js';
import { readTls } from './tls/context.js';
import type { BrokerLogger } from './logger.js';
import type { Options } from './options.js';

/** The program: the broker module with the program's options. */
@Module({})
export class AppModule {
  /** @throws Error when a certificate cannot be used */
  static forRoot(options: Options, users: UserDirectory, logger: BrokerLogger, audit?: Audit): DynamicModule {
    const { allow, deny, proxyProtocol } = options;
    const broker = BrokerModule.forRoot({
      host: options.host,
      port: options.port,
      tls: readTls(options),
      proxy: proxyProtocol.entries.length === 0 ? undefined : (address) => proxyProtocol.has(address),
      users,
      rules: readRules(options),
      lockout: { failures: options.lockoutFailures, time: options.lockoutTime },
      audit,
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

/** The rules of the configuration; undefined where it has none. */
export const readRules = ({ rules, groups }: Options): Rules | undefined => rules && { rules, groups };

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
