import type { AccessRules, StompBroker } from 'nestjs-stomp-broker';
import { readRules } from './app.module.js';
import type { Identities } from './auth/identities.js';
import { Users } from './auth/users.js';
import { watchFiles } from './files.js';
import type { BrokerLogger } from './logger.js';
import { type Options, OptionsError } from './options.js';
import { readTls } from './tls/context.js';

/** How long a file is left to whoever writes it, in ms. */
const SETTLE = 100;

/** What of the running program can be changed. */
export interface Reloaded {
  readonly broker: StompBroker;
  readonly rules: AccessRules;
  readonly identities: Identities;
  readonly logger: BrokerLogger;
  /** Reads the options anew. */
  readonly read: () => Options;
}

/**
 * Reads users, groups, rules and certificates again when their files change, and when it is told to. Sessions whose
 * users or rights are gone end; open TLS connections stay. What cannot be read is logged, and what was before goes on.
 */
export class Reload {
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private readonly unwatch: () => void;
  /** Whether there are rules. */
  private ruled: boolean;

  constructor(
    private readonly parts: Reloaded,
    options: Options,
  ) {
    this.ruled = options.rules !== undefined;
    const { config, usersFile, certfile, keyfile, cafile, crlfile } = options;
    const files = [config, usersFile, certfile, keyfile, cafile, crlfile].filter((file) => file !== undefined);
    this.unwatch = watchFiles(files, () => this.soon());
  }

  /** Reads everything again; one time after the other. */
  now(): Promise<void> {
    this.running = this.running.then(() => this.reload());
    return this.running;
  }

  stop(): void {
    clearTimeout(this.timer);
    this.unwatch();
  }

  private soon(): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.now(), SETTLE);
    this.timer.unref();
  }

  private async reload(): Promise<void> {
    const { broker, rules, identities, logger, read } = this.parts;
    try {
      const options = read();
      const users = await Users.load(options.users, options.usersFile);
      const tls = readTls(options);
      if (users.size === 0 && options.certUser === undefined && identities.size > 0) {
        throw new Error('there would be no users any more, and everybody would come in');
      }
      // A file that is cut off reads well, and opens everything.
      if (this.ruled && options.rules === undefined) {
        throw new Error('there would be no rules any more, and everybody might do everything: start anew for that');
      }
      // Everything could be read: only now anything changes.
      rules.set(readRules(options));
      this.ruled = options.rules !== undefined;
      identities.change({ users, certUser: options.certUser, certUsers: options.certUsers });
      if (tls !== undefined) for (const listener of broker.listeners) listener.renew(tls);
      await broker.review();
      logger.log('users, rules and certificates were read again', 'Reload');
    } catch (error) {
      const lines = error instanceof OptionsError ? error.lines : [(error as Error).message];
      for (const line of lines) logger.warn(`what has changed is not used: ${line}`, 'Reload');
    }
  }
}
