import { afterEach, describe, expect, it, jest } from '@jest/globals';
import {
  type ArgumentsHost,
  type CallHandler,
  type CanActivate,
  Catch,
  Controller,
  type ExceptionFilter,
  type ExecutionContext,
  ForbiddenException,
  Injectable,
  Logger,
  Module,
  type NestInterceptor,
  type PipeTransform,
  UnauthorizedException,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import { APP_FILTER, APP_GUARD, NestFactory } from '@nestjs/core';
import { BaseRpcExceptionFilter, Ctx, MessagePattern, Payload, RpcException } from '@nestjs/microservices';
import { of, throwError } from 'rxjs';
import {
  AdmissionContext,
  AdmissionController,
  AdmissionRequest,
  BrokerModule,
  type BrokerModuleExtras,
  type BrokerOptions,
  StompBroker,
} from 'nestjs-stomp-broker';
import { StompError } from 'nestjs-stomp/server';
import { join, sendAll } from '../../../support/broker.js';
import { openPair } from '../../../support/server.js';
import { type Headers, type RawFrame } from '../../../support/wire.js';

type App = Awaited<ReturnType<typeof NestFactory.createApplicationContext>>;
const apps: App[] = [];

afterEach(async () => {
  await Promise.all(apps.splice(0).map((app) => app.close()));
});

const start = async (options: BrokerOptions & BrokerModuleExtras = {}, providers: object[] = []) => {
  @Module({
    imports: [BrokerModule.forRoot({ port: 0, shutdownTimeout: 100, ...options })],
    providers: providers as [],
  })
  class App {}
  const app = await NestFactory.createApplicationContext(App, { logger: false, abortOnError: false });
  apps.push(app);
  return app.get(StompBroker, { strict: false });
};

const refused = async (broker: StompBroker, headers: Headers = {}): Promise<RawFrame> => {
  const { peer } = openPair(broker);
  peer.send('CONNECT', { 'accept-version': '1.2', host: 'h', ...headers });
  const error = await peer.refused();
  expect(peer.received.toString()).not.toContain('CONNECTED');
  return error;
};

/** What went through Nest, for example `SEND /queue/a`. */
let seen: string[] = [];
afterEach(() => {
  seen = [];
});

const told = (host: ArgumentsHost, by: string) => {
  const request = host.switchToRpc().getData<AdmissionRequest>();
  seen.push(`${by} ${request.command} ${request.destination ?? request.login ?? ''}`.trim());
};

@Injectable()
class WatchGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    told(context, 'guard');
    return true;
  }
}

@Injectable()
class WatchInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler) {
    told(context, 'interceptor');
    return next.handle();
  }
}

@UseGuards(WatchGuard)
@UseInterceptors(WatchInterceptor)
class Watched extends AdmissionController {}

describe('Nest’s pipeline', () => {
  it('is passed by CONNECT, and by the first SEND and SUBSCRIBE to each destination only', async () => {
    const peer = await join(await start({ admission: Watched }), '1.2', { login: 'ann' });
    for (let round = 0; round < 3; round++) {
      await peer.subscribe('/queue/a', { id: `a${round}` });
      await sendAll(peer, '/queue/a', ['1', '2', '3']);
      await sendAll(peer, '/topic/b', ['4', '5']);
      await peer.subscribe('/topic/b', { id: `b${round}` });
    }
    const calls = ['CONNECT ann', 'SUBSCRIBE /queue/a', 'SEND /queue/a', 'SEND /topic/b', 'SUBSCRIBE /topic/b'];
    expect(seen).toEqual(calls.flatMap((call) => [`guard ${call}`, `interceptor ${call}`]));
  });

  it('is passed by each session for itself', async () => {
    const broker = await start({ admission: Watched });
    for (let session = 0; session < 2; session++) await sendAll(await join(broker), '/queue/a', ['1']);
    expect(seen.filter((call) => call === 'guard SEND /queue/a')).toHaveLength(2);
  });

  it('is passed again by every session after dropGrants', async () => {
    const broker = await start({ admission: Watched });
    const peer = await join(broker);
    await peer.subscribe('/queue/a');
    await sendAll(peer, '/queue/a', ['1', '2']);
    seen = [];
    broker.dropGrants();
    await sendAll(peer, '/queue/a', ['3', '4']);
    expect(seen).toEqual(['guard SEND /queue/a', 'interceptor SEND /queue/a']);
    expect(await peer.texts(4)).toEqual(['1', '2', '3', '4']);
  });

  it('may take its time: frames keep their order', async () => {
    @Injectable()
    class SlowGuard implements CanActivate {
      async canActivate(): Promise<boolean> {
        await new Promise((resolve) => setTimeout(resolve, 5));
        return true;
      }
    }
    @UseGuards(SlowGuard)
    class Slow extends AdmissionController {}
    const { peer } = openPair(await start({ admission: Slow }));
    peer.write(
      'CONNECT\naccept-version:1.2\nhost:h\n\n\0SUBSCRIBE\nid:x\ndestination:/queue/a\nreceipt:1\n\n\0' +
        'SEND\ndestination:/queue/a\nreceipt:2\n\none\0SEND\ndestination:/queue/b\nreceipt:3\n\ntwo\0' +
        'SEND\ndestination:/queue/a\nreceipt:4\n\nthree\0DISCONNECT\nreceipt:5\n\n\0',
    );
    await peer.closed();
    const got = [...peer.received.toString().matchAll(/receipt-id:(\d)|\n\n(\w+)\0/g)].map(
      ([, id, body]) => id ?? body,
    );
    expect(got).toEqual(['1', 'one', '2', '3', 'three', '4', '5']);
  });

  it('gives handlers the request, the session and the frame, and makes of what CONNECT returns the user', async () => {
    const requests: AdmissionRequest[] = [];
    let context: AdmissionContext | undefined;
    @Controller()
    class Own {
      @MessagePattern('CONNECT')
      enter(@Payload() request: AdmissionRequest, @Ctx() ctx: AdmissionContext) {
        requests.push(request);
        context = ctx;
        return { name: request.login };
      }
      @MessagePattern('SEND')
      publish(@Payload() request: AdmissionRequest) {
        requests.push(request);
      }
      @MessagePattern('SUBSCRIBE')
      read(@Payload('destination') destination: string) {
        seen.push(destination);
      }
    }
    const broker = await start({ admission: Own as never });
    const peer = await join(broker, '1.2', { login: 'ann', passcode: 'secret', color: 'red' });
    await sendAll(peer, '/queue/a', ['1']);
    await peer.subscribe('/queue/b');
    const [connect, send] = requests;
    expect(connect).toMatchObject({ command: 'CONNECT', login: 'ann', vhost: '*', destination: undefined });
    expect(connect!.passcode).toBe('secret');
    expect(JSON.stringify(connect)).not.toContain('secret');
    expect(context!.getSession()).toBe([...broker.sessions][0]);
    expect(context!.getFrame().headers.get('color')).toBe('red');
    expect(send).toMatchObject({ command: 'SEND', destination: '/queue/a', user: { name: 'ann' } });
    expect(send!.passcode).toBeUndefined();
    expect(seen).toEqual(['/queue/b']);
  });

  it('applies pipes', async () => {
    @Injectable()
    class Upper implements PipeTransform<string, string> {
      transform(value: string) {
        return value.toUpperCase();
      }
    }
    class Piped extends AdmissionController {
      @MessagePattern('CONNECT')
      override connect(@Payload('login', Upper) login: unknown) {
        return login;
      }
    }
    const broker = await start({ admission: Piped });
    await join(broker, '1.2', { login: 'ann' });
    expect([...broker.sessions][0]!.user).toBe('ANN');
  });

  it('includes the guards of the whole application', async () => {
    const broker = await start({}, [{ provide: APP_GUARD, useClass: WatchGuard }]);
    await join(broker, '1.2', { login: 'ann' });
    expect(seen).toEqual(['guard CONNECT ann']);
  });

  it('needs a handler for each of the three', async () => {
    @Controller()
    class Half {
      @MessagePattern('CONNECT')
      connect() {
        return undefined;
      }
    }
    await expect(start({ admission: Half as never })).rejects.toThrow("Half has no @MessagePattern('SEND') handler");
  });
});

describe('a guard of one’s own', () => {
  const revoked = new Set<string>();

  @Injectable()
  class TeamGuard implements CanActivate {
    canActivate(context: ExecutionContext): boolean {
      const { login, user, destination } = context.switchToRpc().getData<AdmissionRequest>();
      if (revoked.has(String(login ?? user))) throw new UnauthorizedException('the account was closed');
      return destination !== '/queue/management';
    }
  }

  // All that it takes.
  @UseGuards(TeamGuard)
  class TeamAdmission extends AdmissionController {}

  it('refuses a destination: ERROR with the receipt, then the end; what was sent before is done', async () => {
    const broker = await start({ admission: TeamAdmission });
    const [peer, reader] = [await join(broker, '1.2', { login: 'ann' }), await join(broker, '1.2', { login: 'bob' })];
    await reader.subscribe('/queue/a');
    peer.send('SEND', { destination: '/queue/a' }, 'before');
    peer.send('SEND', { destination: '/queue/management', receipt: 'r' }, 'refused');
    peer.send('SEND', { destination: '/queue/a' }, 'behind');
    const error = await peer.refused();
    expect(error.header('message')).toBe('access refused');
    expect(error.header('receipt-id')).toBe('r');
    expect(error.header('content-type')).toBe('text/plain');
    expect(await reader.texts(1)).toEqual(['before']);
    expect((await reader.rest()).map(({ text }) => text)).not.toContain('behind');
  });

  it('shuts out whose rights were taken, at once after dropGrants', async () => {
    const broker = await start({ admission: TeamAdmission });
    const peer = await join(broker, '1.2', { login: 'eve' });
    await sendAll(peer, '/queue/a', ['1']);
    revoked.add('eve');
    await sendAll(peer, '/queue/a', ['2']);
    broker.dropGrants();
    peer.send('SEND', { destination: '/queue/a' }, '3');
    expect((await peer.refused()).text).toBe('the account was closed\n');
    expect((await refused(broker, { login: 'eve' })).header('message')).toBe('connection refused');
  });
});

describe('a guard that never answers', () => {
  const hangs = (...commands: AdmissionRequest['command'][]) => {
    let connects = 0;
    @Injectable()
    class Hanging implements CanActivate {
      canActivate(context: ExecutionContext): boolean | Promise<boolean> {
        const { command } = context.switchToRpc().getData<AdmissionRequest>();
        // The first CONNECT is that of the session itself.
        const hangs = commands.includes(command) && (command !== 'CONNECT' || connects++ > 0);
        return hangs ? new Promise(() => undefined) : true;
      }
    }
    @UseGuards(Hanging)
    class Guarded extends AdmissionController {}
    return Guarded;
  };
  const why = 'that was not decided within 1000 ms: try again later\n';

  it.each(['SEND', 'SUBSCRIBE'] as const)('has the time of a login for a %s', async (command) => {
    const audit: unknown[] = [];
    const admission = hangs(command);
    const broker = await start({ admission, loginTimeout: 1_000, audit: (event) => audit.push(event) });
    const peer = await join(broker);
    peer.send(command, { destination: '/queue/a', id: '1', receipt: 'r' });
    const error = await peer.refused();
    expect([error.header('message'), error.header('receipt-id'), error.text]).toEqual(['access refused', 'r', why]);
    expect(audit).toContainEqual(expect.objectContaining({ event: 'access refused', destination: '/queue/a' }));
  });

  it('has as long for new credentials', async () => {
    const broker = await start({ admission: hangs('CONNECT'), loginTimeout: 1_000 });
    const peer = await join(broker);
    peer.send('SEND', { destination: '/session/refresh', login: 'ann', passcode: 'x' });
    const error = await peer.refused();
    expect([error.header('message'), error.text]).toEqual(['connection refused', why]);
  });

  it('does not keep those in whose rights were taken', async () => {
    const broker = await start({ admission: hangs('SEND'), loginTimeout: 1_000 });
    const peer = await join(broker);
    peer.send('SEND', { destination: '/queue/a' }, 'x');
    for (const session of broker.sessions) session.refuse(new StompError('session ended', 'gone'));
    await peer.refused();
  });
});

describe('a refusal', () => {
  const refusing = (error: () => unknown) => {
    @Injectable()
    class Guard implements CanActivate {
      canActivate(): boolean {
        throw error();
      }
    }
    @UseGuards(Guard)
    class Refusing extends AdmissionController {}
    return start({ admission: Refusing });
  };

  it.each([
    ['an HttpException', () => new ForbiddenException('not today'), 'connection refused', 'not today\n'],
    ['an RpcException', () => new RpcException('not today'), 'connection refused', 'not today\n'],
    ['a StompError', () => new StompError('closed', 'come back at nine'), 'closed', 'come back at nine\n'],
    ['any other error', () => new Error('password hunter2'), 'internal error', 'the server failed: see its log\n'],
    ['no error at all', () => 'hunter2', 'internal error', 'the server failed: see its log\n'],
  ])('by %s says what was meant for the client', async (_what, error, message, text) => {
    const frame = await refused(await refusing(error), { login: 'ann', passcode: 'hunter2' });
    expect(frame.header('message')).toBe(message);
    expect(frame.text).toBe(text);
    expect(frame.raw.toString()).not.toContain('hunter2');
  });

  it('is no failure of the broker: nothing is logged of it', async () => {
    const failures = jest.spyOn(Logger.prototype, 'error').mockImplementation(() => undefined);
    await refused(await refusing(() => new StompError('closed', 'come back at nine')), { login: 'ann' });
    await refused(await refusing(() => new ForbiddenException('not today')), { login: 'ann' });
    expect(failures).not.toHaveBeenCalled();
    await refused(await refusing(() => new Error('broken')), { login: 'ann' });
    expect(failures).toHaveBeenCalled();
    failures.mockRestore();
  });

  @Catch()
  class Swallowing implements ExceptionFilter {
    catch(_exception: unknown, host: ArgumentsHost): unknown {
      told(host, 'filter');
      return { status: 'handled' };
    }
  }
  @Catch()
  class Rethrowing implements ExceptionFilter {
    catch(): never {
      throw new StompError('translated', 'by a filter');
    }
  }
  @Catch()
  class Rpc implements ExceptionFilter {
    catch() {
      return throwError(() => new StompError('translated', 'by a filter'));
    }
  }
  @Catch()
  class Empty implements ExceptionFilter {
    catch() {
      return of(true);
    }
  }
  @Injectable()
  class Never implements CanActivate {
    canActivate(): boolean {
      return false;
    }
  }

  it.each([
    ['returns something', Swallowing, 'connection refused'],
    ['throws another error', Rethrowing, 'translated'],
    ['returns an observable that fails', Rpc, 'translated'],
    ['returns an observable that does not fail', Empty, 'connection refused'],
    ['is that of microservices', BaseRpcExceptionFilter, undefined],
  ])('stays one when a filter %s', async (_what, Filter, message) => {
    @UseGuards(Never)
    @UseFilters(Filter)
    class Filtered extends AdmissionController {}
    const error = await refused(await start({ admission: Filtered }), { login: 'ann' });
    if (message !== undefined) expect(error.header('message')).toBe(message);
    if (Filter === Swallowing) expect(seen).toEqual(['filter CONNECT ann']);
  });

  it.each([
    ['CONNECT', UnauthorizedException],
    ['SEND', ForbiddenException],
    ['SUBSCRIBE', ForbiddenException],
  ] as const)(
    'of %s by a StompError is for filters what guards of Nest throw, with that as its cause',
    async (...row) => {
      const [command, Exception] = row;
      const closed = new StompError('closed', 'come back at nine');
      const caught: [by: string, exception: Error][] = [];
      @Injectable()
      class Guard implements CanActivate {
        canActivate(context: ExecutionContext): boolean {
          if (context.switchToRpc().getData<AdmissionRequest>().command === command) throw closed;
          return true;
        }
      }
      @Catch(Exception)
      class ByNest implements ExceptionFilter {
        catch(exception: Error): never {
          caught.push(['Nest', exception]);
          throw exception;
        }
      }
      @Catch(StompError)
      class ByName implements ExceptionFilter {
        catch(exception: Error): never {
          caught.push(['name', exception]);
          throw exception;
        }
      }
      @UseGuards(Guard)
      @UseFilters(ByNest, ByName)
      class Filtered extends AdmissionController {}
      const { peer } = openPair(await start({ admission: Filtered }));
      peer.send('CONNECT', { 'accept-version': '1.2', host: 'h' });
      if (command !== 'CONNECT') peer.send(command, { destination: '/queue/a', id: '1' });
      expect((await peer.refused()).header('message')).toBe('closed');
      expect(caught).toEqual([['Nest', expect.any(Exception)]]);
      expect(caught[0]![1].cause).toBe(closed);
    },
  );

  it('stays one when a filter of the whole application, or of the method, handles it', async () => {
    @UseGuards(Never)
    class Guarded extends AdmissionController {}
    const everywhere = await start({ admission: Guarded }, [{ provide: APP_FILTER, useClass: Swallowing }]);
    await refused(everywhere, { login: 'ann' });
    class OnMethod extends Guarded {
      @MessagePattern('CONNECT')
      @UseFilters(Rethrowing)
      override connect() {
        return 'anybody';
      }
    }
    expect((await refused(await start({ admission: OnMethod }))).header('message')).toBe('translated');
  });
});
