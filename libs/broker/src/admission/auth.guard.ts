import { type CanActivate, type ExecutionContext, Inject, Injectable, UnauthorizedException } from '@nestjs/common';
import { AdmissionRequest } from './request.js';
import { type UserDirectory, USERS } from './users.js';

/**
 * Lets in the users of the broker's configuration, and everybody where there are none. An ordinary Nest guard: put
 * your own in its place with `@UseGuards` on a class that extends AdmissionController.
 */
@Injectable()
export class AuthGuard implements CanActivate {
  constructor(@Inject(USERS) private readonly users: UserDirectory) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToRpc().getData<AdmissionRequest>();
    if (request.command !== 'CONNECT' || this.users.size === 0) return true;
    const { login, passcode } = request;
    if (login === undefined) throw new UnauthorizedException('a login and a passcode are required');
    if (await this.users.verify(login, passcode ?? '')) return true;
    throw new UnauthorizedException('the login or the passcode is wrong');
  }
}
