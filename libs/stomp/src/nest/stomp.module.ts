import {
  type DynamicModule,
  type FactoryProvider,
  Inject,
  Module,
  type OnApplicationShutdown,
  type Provider,
} from '@nestjs/common';
import { StompClientProxy } from './stomp.client.js';
import type { StompClientProxyOptions } from './stomp.options.js';

export interface StompModuleExtras {
  /** The token of the client proxy; `StompClientProxy` itself by default. */
  name?: string | symbol;
  /** Makes the client proxy available in all modules. */
  isGlobal?: boolean;
}

export type StompModuleOptions = StompClientProxyOptions & StompModuleExtras;

export type StompModuleAsyncOptions = StompModuleExtras &
  Pick<FactoryProvider<StompClientProxyOptions>, 'inject' | 'useFactory'> &
  Pick<DynamicModule, 'imports'>;

const CLIENT = Symbol('nestjs-stomp client');
const OPTIONS = Symbol('nestjs-stomp options');

/**
 * Provides a {@link StompClientProxy}, and closes it when the application shuts down. It connects when it is first
 * needed.
 *
 * ```ts
 * @Module({ imports: [StompModule.register({ url: 'stomp://localhost:61613' })] })
 * export class OrdersModule {}
 *
 * class Orders { constructor(private readonly client: StompClientProxy) {} }
 * ```
 */
@Module({})
export class StompModule implements OnApplicationShutdown {
  constructor(@Inject(CLIENT) private readonly client: StompClientProxy) {}

  static register(options: StompModuleOptions = {}): DynamicModule {
    const { name, isGlobal, ...rest } = options;
    return declare({ name, isGlobal }, { provide: OPTIONS, useValue: rest });
  }

  static registerAsync(options: StompModuleAsyncOptions): DynamicModule {
    const { inject = [], useFactory, imports = [] } = options;
    return { ...declare(options, { provide: OPTIONS, inject, useFactory }), imports };
  }

  async onApplicationShutdown(): Promise<void> {
    await this.client.close();
  }
}

function declare(
  { name = StompClientProxy as never, isGlobal = false }: StompModuleExtras,
  options: Provider,
): DynamicModule {
  return {
    module: StompModule,
    global: isGlobal,
    providers: [
      options,
      {
        provide: CLIENT,
        inject: [OPTIONS],
        useFactory: (given: StompClientProxyOptions) => new StompClientProxy(given),
      },
      { provide: name, useExisting: CLIENT },
    ],
    exports: [name],
  };
}
