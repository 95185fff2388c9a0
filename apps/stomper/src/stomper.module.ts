import { type DynamicModule, Module } from '@nestjs/common';
import { Broker } from 'nestjs-stomp-command';
import type { Options } from './options.js';
import { OPTIONS, Stomper } from './stomper.js';

export { Stomper };

/** The program: its command, with what it is told. */
@Module({})
export class StomperModule {
  static forRoot(options: Options, broker: Broker): DynamicModule {
    return {
      module: StomperModule,
      providers: [{ provide: OPTIONS, useValue: options }, { provide: Broker, useValue: broker }, Stomper],
    };
  }
}
