import { type CanActivate, type ExecutionContext, Inject, Injectable, UnauthorizedException } from '@nestjs/common';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lockout } from './lockout.js';
import { type AdmissionContext, AdmissionRequest } from './request.js';
import { type Applicant, type User, type UserDirectory, USERS } from './users.js';

/**
 * Lets in the users of the broker's configuration, and everybody where there are none; beside users those without a
 * login only where the configuration says so. An ordinary Nest guard: put your own in its place with `@UseGuards` on a
 * class that extends AdmissionController, and give the broker no users.
 */
@Injectable()
export class AuthGuard implements CanActivate {
  constructor(
    @Inject(USERS) private readonly users: UserDirectory,
    @Inject(Lockout) private readonly lockout: Lockout,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const rpc = context.switchToRpc();
    const request = rpc.getData<AdmissionRequest>();
    if (request.command !== 'CONNECT' || this.users.size === 0) return true;
    const { address, login, passcode } = request;
    const wait = this.lockout.wait(address, login);
    if (wait === undefined) throw blocked();
    if (wait > 0) await sleep(wait);
    const session = rpc.getContext<AdmissionContext>().getSession();
    const isBlocked = () => this.lockout.wait(address, login) === undefined;
    const objection = () => (session.closed ? gone() : isBlocked() ? blocked() : undefined);
    const user = await this.identify(request, { address, objection });
    // Many guesses at once would else all be begun before the first of them has failed.
    if (isBlocked()) throw blocked();
    if (user === undefined) {
      if (this.users.anonymous === true && login === undefined && passcode === undefined) return true;
      this.lockout.failed(address, login);
      throw new UnauthorizedException('the login or the passcode is wrong');
    }
    this.lockout.succeeded(login);
    request.user = user;
    return true;
  }

  private async identify(request: AdmissionRequest, applicant: Applicant): Promise<User | string | undefined> {
    const { login, passcode } = request;
    if (this.users.identify !== undefined) return this.users.identify(request, applicant);
    if (login !== undefined) {
      return (await this.users.verify(login, passcode ?? '', applicant)) ? login : undefined;
    }
    if (this.users.anonymous === true) return undefined;
    throw new UnauthorizedException('a login and a passcode are required');
  }
}

const gone = () => new UnauthorizedException('the client was gone before its login was looked into');
const blocked = () => new UnauthorizedException('too many logins have failed: try again later');
