import { type DynamicModule, Module } from '@nestjs/common';
import { Broker } from 'nestjs-stomp-command';
import type { Options } from './options.js';
import { OPTIONS, Printer } from './printer.js';

export { Printer };

/** The program: its command, with what it is told. */
@Module({})
export class PrinterModule {
  static forRoot(options: Options, broker: Broker): DynamicModule {
    return {
      module: PrinterModule,
      providers: [{ provide: OPTIONS, useValue: options }, { provide: Broker, useValue: broker }, Printer],
    };
  }
}
