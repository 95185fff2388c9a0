import { Controller, UseGuards } from '@nestjs/common';
import { MessagePattern, Payload } from '@nestjs/microservices';
import { AccessGuard } from './access.guard.js';
import { AuthGuard } from './auth.guard.js';
import { AdmissionRequest } from './request.js';

/**
 * What a client has to pass: its CONNECT, and its first SEND and first SUBSCRIBE to each destination. Guards, pipes,
 * interceptors and filters apply as in any Nest controller. Whatever is thrown refuses the client.
 */
@Controller()
@UseGuards(AuthGuard, AccessGuard)
export class AdmissionController {
  /** @returns whoever the client is from now on: `session.user` */
  @MessagePattern('CONNECT')
  connect(@Payload() request: AdmissionRequest): unknown {
    return request.user ?? request.login;
  }

  @MessagePattern('SEND')
  send(@Payload() _request: AdmissionRequest): void {
    // Whoever passes the guards may send there.
  }

  @MessagePattern('SUBSCRIBE')
  subscribe(@Payload() _request: AdmissionRequest): void {
    // Whoever passes the guards may subscribe to it.
  }
}
