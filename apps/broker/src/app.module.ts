import { type DynamicModule, Module } from '@nestjs/common';
import { type Audit, BrokerModule, type LockoutOptions, type Rules, type UserDirectory } from 'nestjs-stomp-broker';
import type { ServerLog } from 'nestjs-stomp/server';
import { type AddressLists, admits } from './auth/addresses.js';
import { readTls } from './tls/context.js';
import type { BrokerLogger } from './logger.js';
import { limitFields } from './options.limits.js';
import type { Options } from './options.js';

/** The program: the broker module with the program's options. */
@Module({})
export class AppModule {
  /** @throws Error when a certificate cannot be used */
  static forRoot(
    options: Options,
    {
      users,
      addresses,
      logger,
      audit,
    }: { users: UserDirectory; addresses: AddressLists; logger: BrokerLogger; audit?: Audit },
  ): DynamicModule {
    const { proxyProtocol } = options;
    const broker = BrokerModule.forRoot({
      host: options.host,
      port: options.port,
      tls: readTls(options),
      proxy: proxyProtocol.entries.length === 0 ? undefined : (address) => proxyProtocol.has(address),
      users,
      rules: readRules(options),
      lockout: lockoutOf(options),
      audit,
      vhosts: options.vhosts,
      admits: (address) => admits(address, addresses),
      heartbeat: { outgoing: options.heartbeatOut, incoming: options.heartbeatIn },
      heartbeatTolerance: options.heartbeatTolerance,
      idleTimeout: options.idleTimeout,
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
      ...limitsOf(options),
      log: sessionLog(logger, options.maxLogLines),
    });
    return { module: AppModule, imports: [broker] };
  }
}

/** The rules of the configuration; undefined where it has none. */
export const readRules = ({ rules, groups }: Options): Rules | undefined => rules && { rules, groups };

/** How many logins may fail, by the configuration. */
export const lockoutOf = ({ lockoutFailures, lockoutTime }: Options): LockoutOptions => ({
  failures: lockoutFailures,
  time: lockoutTime,
});

/** The limits that the broker knows by the same names. */
function limitsOf(options: Options) {
  const {
    maxOutbound: highWaterMark,
    maxLogLines: _lines,
    ...limits
  } = pick(options, Object.keys(limitFields) as Limit[]);
  return { ...limits, highWaterMark };
}

type Limit = keyof typeof limitFields;
const pick = <Name extends keyof Options>(options: Options, names: readonly Name[]) =>
  Object.fromEntries(names.map((name) => [name, options[name]])) as Pick<Options, Name>;

/** How many lines more there were than may be, is said after so many ms. */
const SECOND = 1_000;

/**
 * What sessions say, at the logger's own levels. What clients can cause without end, their refusals above all, is
 * bounded: who asks for the frames themselves (level 3 and up) gets everything.
 */
function sessionLog(logger: BrokerLogger, mostLines: number): ServerLog {
  let lines = 0;
  let timer: NodeJS.Timeout | undefined;
  const isTooMuch = () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      const more = lines - mostLines;
      lines = 0;
      if (more > 0) logger.warn(`${more} lines more in a second were left out: see --max-log-lines`, 'Session');
    }, SECOND).unref();
    return ++lines > mostLines;
  };
  return {
    level: logger.verbosity,
    log: (level, line) => {
      if (level > logger.verbosity || (logger.verbosity <= 2 && isTooMuch())) return;
      if (level === 0) logger.error(line, 'Session');
      else if (level === 1) logger.log(line, 'Session');
      else if (level === 2) logger.debug(line, 'Session');
      else logger.verbose(line, 'Session');
    },
  };
}
