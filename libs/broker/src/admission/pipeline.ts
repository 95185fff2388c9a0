import {
  ForbiddenException,
  HttpException,
  Injectable,
  type OnModuleInit,
  type Type,
  UnauthorizedException,
} from '@nestjs/common';
import { ExternalContextCreator } from '@nestjs/core';
import { RpcException } from '@nestjs/microservices';
import { PARAM_ARGS_METADATA, PATTERN_METADATA } from '@nestjs/microservices/constants.js';
import { RpcParamsFactory } from '@nestjs/microservices/factories/rpc-params-factory.js';
import { type Frame, isToken, type Session, StompError } from 'nestjs-stomp/server';
import { isObservable, lastValueFrom } from 'rxjs';
import type { Admission } from '../broker.js';
import { type Audit, describeError, describeSession } from './audit.js';
import { AdmissionContext, AdmissionRequest } from './request.js';
import type { UserDirectory } from './users.js';

const rpc = new RpcParamsFactory();

type Command = AdmissionRequest['command'];
type Enhancers = { guards: boolean; interceptors: boolean; filters: boolean };
type Handler = (request: AdmissionRequest, context: AdmissionContext) => Promise<unknown>;

/** Of a login that nobody has, so much is recorded. */
const MAX_LOGIN = 256;

/** Takes admission requests through Nest's pipeline to the handlers of a controller. */
@Injectable()
export class AdmissionPipeline implements Admission, OnModuleInit {
  private readonly handlers = new Map<Command, Handler>();

  /**
   * @param controller the instance that Nest made
   * @param users who may come in, and stay
   * @param audit takes what is decided
   * @param patience for a decision, in ms; 0 for no limit
   */
  constructor(
    private readonly creator: ExternalContextCreator,
    private readonly controller: object,
    private readonly users: UserDirectory,
    private readonly audit: Audit | undefined,
    private readonly patience: number,
  ) {}

  /**
   * Not before: guards are made after providers.
   *
   * @throws Error when the controller has no handler for one of the three patterns
   */
  onModuleInit(): void {
    for (const command of ['CONNECT', 'SEND', 'SUBSCRIBE'] as const) {
      this.handlers.set(command, createHandler(this.creator, this.controller, command));
    }
  }

  async connect(session: Session, frame: Frame): Promise<void> {
    try {
      session.user = await this.ask('CONNECT', session, frame);
    } catch (error) {
      const user = readLogin(frame);
      this.audit?.({ event: 'connection refused', ...describeSession(session), user, ...describeError(error) });
      throw error;
    }
  }

  admitted(session: Session): void {
    this.audit?.({ event: 'connected', ...describeSession(session) });
  }

  changed(session: Session): void {
    this.audit?.({ event: 'user changed', ...describeSession(session) });
  }

  turnedAway(address: string | undefined, error: StompError, session?: Session): void {
    const who = session === undefined ? { address } : describeSession(session);
    this.audit?.({ event: 'connection refused', ...who, ...describeError(error) });
  }

  refused(session: Session, error: unknown): void {
    this.audit?.({ event: 'connection refused', ...describeSession(session), ...describeError(error) });
  }

  async use(session: Session, destination: string, action: 'send' | 'subscribe', frame: Frame): Promise<void> {
    try {
      await this.ask(action === 'send' ? 'SEND' : 'SUBSCRIBE', session, frame, destination);
    } catch (error) {
      this.denied(session, destination, action, error);
      throw error;
    }
  }

  denied(session: Session, destination: string, action: 'send' | 'subscribe', error: unknown): void {
    const what = { action, destination, ...describeError(error) };
    this.audit?.({ event: 'access refused', ...describeSession(session), ...what });
  }

  check({ user, certificate, since }: Session): void {
    const objection = this.users.objection?.(user, certificate, since);
    if (objection !== undefined) throw new StompError('session ended', objection);
  }

  expiry({ user }: Session): number | undefined {
    const moment: unknown = typeof user === 'object' && user !== null && 'expires' in user ? user.expires : undefined;
    return typeof moment === 'number' ? moment : undefined;
  }

  ended(session: Session, error: Error): void {
    this.audit?.({ event: 'session ended', ...describeSession(session), ...describeError(error) });
  }

  private async ask(command: Command, session: Session, frame: Frame, destination?: string): Promise<unknown> {
    try {
      const handler = this.handlers.get(command)!;
      const request = new AdmissionRequest(command, session, frame, destination);
      return await this.inTime(handler(request, new AdmissionContext([session, frame])), command);
    } catch (error) {
      throw toRefusal(error, command);
    }
  }

  /** @throws StompError when it takes too long: meanwhile nothing is read from the client, nor can it be told anything */
  private async inTime<T>(answer: Promise<T>, command: Command): Promise<T> {
    const { patience } = this;
    if (patience === 0) return answer;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const error = new StompError(titleOf(command), `that was not decided within ${patience} ms: try again later`);
      timer = setTimeout(() => reject(error), patience).unref();
    });
    try {
      return await Promise.race([answer, late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Who a client says that it is. A token that stands in the wrong place is as secret as in the right one. */
function readLogin({ headers }: Frame): string | undefined {
  const login = headers.get('login');
  return login !== undefined && isToken(login) ? '(a token)' : login?.slice(0, MAX_LOGIN);
}

/**
 * Two steps, because a filter may turn a refusal into a result, as those of other transports do: that changes what
 * the client is told, but never lets it in.
 */
function createHandler(creator: ExternalContextCreator, controller: object, command: Command): Handler {
  const name = findMethod(controller, command);
  const method = (controller as Record<string, (...args: unknown[]) => unknown>)[name]!;
  const factory = {
    exchangeKeyForValue: (type: number, data: unknown, args: unknown[]): unknown =>
      rpc.exchangeKeyForValue(type, data as string, args),
  };
  const create = (callback: typeof method, params: boolean, enhancers: Enhancers) =>
    creator.create(
      controller,
      callback,
      name,
      params ? PARAM_ARGS_METADATA : undefined,
      params ? factory : undefined,
      undefined,
      undefined,
      enhancers,
      'rpc',
    ) as Handler;
  const admit = create(method, true, { guards: true, interceptors: true, filters: false });
  const errors = new WeakMap<object, unknown>();
  const rethrow = (request: object) => {
    throw errors.get(request);
  };
  // The filters of the method are found by its metadata, which the function inherits.
  Object.setPrototypeOf(rethrow, method);
  const filter = create(rethrow as typeof method, false, { guards: false, interceptors: false, filters: true });
  return async (request, context) => {
    try {
      return await admit(request, context);
    } catch (error) {
      const shown = toHttp(error, command);
      errors.set(request, shown);
      const told = await filter(request, context).catch((thrown: unknown) => {
        throw thrown === shown ? error : thrown;
      });
      if (isObservable(told)) await lastValueFrom(told, { defaultValue: undefined });
      throw error;
    }
  };
}

function findMethod(controller: object, command: Command): string {
  for (let proto = controller; proto !== Object.prototype; proto = Object.getPrototypeOf(proto) as object) {
    for (const [name, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(proto))) {
      const value: unknown = descriptor.value;
      if (typeof value !== 'function') continue;
      const patterns = Reflect.getMetadata(PATTERN_METADATA, value) as unknown[] | undefined;
      if (patterns?.includes(command) === true) return name;
    }
  }
  const { name } = (controller as { constructor: Type }).constructor;
  throw new Error(`${name} has no @MessagePattern('${command}') handler: extend AdmissionController`);
}

/**
 * A refusal for filters, in the class that guards use: Nest logs all others as failures, with their stack, and clients
 * are refused every day.
 */
function toHttp(error: unknown, command: Command): unknown {
  if (!(error instanceof StompError)) return error;
  const Exception = command === 'CONNECT' ? UnauthorizedException : ForbiddenException;
  return new Exception(error.detail, { cause: error });
}

/** What a client is told of an exception of the pipeline; what nobody meant for it stays inside. */
function toRefusal(error: unknown, command: Command): unknown {
  if (error instanceof HttpException) return new StompError(titleOf(command), error.message);
  if (error instanceof RpcException) return new StompError(titleOf(command), error.message);
  return error;
}

const titleOf = (command: Command): string => (command === 'CONNECT' ? 'connection refused' : 'access refused');
