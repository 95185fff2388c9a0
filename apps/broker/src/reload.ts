import type { AccessRules, Lockout, StompBroker } from 'nestjs-stomp-broker';
import { lockoutOf, readRules } from './app.module.js';
import { type AddressLists, admits } from './auth/addresses.js';
import type { Identities } from './auth/identities.js';
import { countProofs, loadProofs, type Proofs } from './auth/proofs.js';
import { FileWatch, isUnended } from './files.js';
import type { BrokerLogger } from './logger.js';
import { type Options, OptionsError } from './options.js';
import { isUrl } from './options.jwt.js';
import { kebab } from './options.kinds.js';
import type { OptionName } from './options.schema.js';
import { asksForCertificates, readTls } from './tls/context.js';

/** How long a file is left to whoever writes it, in ms; one whose last line has no end may have to grow still. */
const SETTLE = 100;
const SETTLE_UNENDED = 2_000;
/** So many different lines about files that cannot be used are remembered. */
const MOST_SAID = 100;

/** What holds from the moment that it was read; all others take a new start. */
const LIVE: readonly string[] = [
  ...([
    'users',
    'usersFile',
    'allowAnonymous',
    'certUser',
    'certUsers',
    'groups',
    'rules',
    'lockoutFailures',
    'lockoutTime',
  ] satisfies OptionName[]),
  ...([
    'jwtKeys',
    'jwtAudience',
    'jwtIssuer',
    'jwtAlgorithms',
    'jwtUser',
    'jwtGroups',
    'jwtTolerance',
  ] satisfies OptionName[]),
  ...(['cafile', 'certfile', 'keyfile', 'crlfile', 'vhostCerts', 'allow', 'deny', 'policies'] satisfies OptionName[]),
];

/** What of the running program can be changed. */
export interface Reloaded {
  readonly broker: StompBroker;
  readonly rules: AccessRules;
  readonly lockout: Lockout;
  readonly identities: Identities;
  /** Whose connections are taken. */
  readonly addresses: AddressLists;
  readonly logger: BrokerLogger;
  /** Reads the options anew. */
  readonly read: () => Options;
}

/**
 * Reads users, tokens' keys, rules, policies, limits of logins and certificates again when their files change, and when it
 * is told to. Sessions whose users or rights are gone end; open TLS connections stay. What cannot be read is logged, and
 * what was before goes on.
 */
export class Reload {
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> = Promise.resolve();
  private readonly files = new FileWatch(() => this.soon());
  private options: Options;
  /** What was said of files that cannot be used: not again with each change until they can. */
  private readonly said = new Set<string>();

  /**
   * @param parts what can be changed
   * @param started the options that it was started with
   * @param proofs those that count
   */
  constructor(
    private readonly parts: Reloaded,
    private readonly started: Options,
    private proofs: Proofs,
  ) {
    this.options = started;
    this.files.watch(filesOf(started));
  }

  /** Reads everything again, and says what comes of it. */
  now(): Promise<void> {
    this.said.clear();
    return this.read();
  }

  /** One time after the other. */
  private read(): Promise<void> {
    this.running = this.running.then(() => this.reload());
    return this.running;
  }

  stop(): void {
    clearTimeout(this.timer);
    this.files.stop();
  }

  private soon(): void {
    clearTimeout(this.timer);
    const { config, usersFile } = this.options;
    const unended = [config, usersFile].filter((file) => file !== undefined && isUnended(file));
    if (unended.length > 0) {
      const what = `${unended.join(' and ')}: the last line has no line break`;
      this.complain([`${what}; it is read in ${SETTLE_UNENDED} ms, unless more comes`]);
    }
    this.timer = setTimeout(() => void this.read(), unended.length > 0 ? SETTLE_UNENDED : SETTLE);
    this.timer.unref();
  }

  private async reload(): Promise<void> {
    const { broker, rules, lockout, identities, addresses, logger, read } = this.parts;
    try {
      const options = read();
      // Also those that cannot be used yet: whoever mends them need not do more.
      this.files.watch(filesOf(options));
      const unasked = options.certUser !== undefined && !asksForCertificates(this.started);
      const proofs = await loadProofs(unasked ? { ...options, certUser: undefined } : options, this.proofs);
      const tls = readTls(options);
      if (countProofs(proofs) === 0 && identities.size > 0) {
        throw new Error('there would be no users any more, and everybody would come in');
      }
      // A file that is cut off reads well, and opens everything.
      if (this.options.rules !== undefined && options.rules === undefined) {
        throw new Error('there would be no rules any more, and everybody might do everything: start anew for that');
      }
      // Everything could be read: only now anything changes.
      broker.setPolicies(options.policies);
      rules.set(readRules(options));
      lockout.set(lockoutOf(options));
      identities.change(proofs);
      Object.assign(addresses, { allow: options.allow, deny: options.deny });
      if (tls !== undefined && this.started.tls !== false) for (const listener of broker.listeners) listener.renew(tls);
      this.options = options;
      this.proofs = proofs;
      for (const session of broker.sessions) if (!admits(session.address, addresses)) session.destroy();
      await broker.review();
      this.said.clear();
      logger.log('users, rules and certificates were read again', 'Reload');
      const live = LIVE.filter((name) => !(unasked && name === 'certUser'));
      const fixed = changes(this.started, options).filter((name) => !live.includes(name));
      if (fixed.length > 0) logger.warn(`what takes a new start has changed: ${fixed.map(kebab).join(', ')}`, 'Reload');
    } catch (error) {
      const lines = error instanceof OptionsError ? error.lines : [(error as Error).message];
      this.complain(lines.map((line) => `what has changed is not used: ${line}`));
    }
  }

  private complain(lines: readonly string[]): void {
    const { logger } = this.parts;
    if (this.said.size > MOST_SAID) this.said.clear();
    for (const line of lines) {
      if (this.said.has(line)) logger.debug(line, 'Reload');
      else logger.warn(line, 'Reload');
      this.said.add(line);
    }
  }
}

function filesOf({ config, usersFile, jwtKeys, certfile, keyfile, cafile, crlfile, vhostCerts }: Options): string[] {
  const pairs = Object.values(vhostCerts).flatMap((pair) => [pair.certfile, pair.keyfile]);
  const keys = jwtKeys !== undefined && isUrl(jwtKeys) ? undefined : jwtKeys;
  return [config, usersFile, keys, certfile, keyfile, cafile, crlfile, ...pairs].filter((file) => file !== undefined);
}

/** The options whose values are others. */
function changes(before: Options, after: Options): string[] {
  const names = Object.keys({ ...before, ...after }) as (keyof Options)[];
  return names.filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]));
}
