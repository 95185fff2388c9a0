import type { DynamicModule, LoggerService, Type } from '@nestjs/common';

/** What a program does, as a provider of its module. */
export interface ProgramCommand {
  /** @returns the exit code */
  run(): Promise<number>;
}

/** Runs the command of a standalone Nest application. Nest is loaded only now: `--help` need not wait for it. */
export async function runCommand(
  module: DynamicModule,
  command: Type<ProgramCommand>,
  logger: LoggerService,
): Promise<number> {
  await import('reflect-metadata');
  const { NestFactory } = await import('@nestjs/core');
  const app = await NestFactory.createApplicationContext(module, { logger, abortOnError: false });
  try {
    return await app.get(command).run();
  } finally {
    await app.close();
  }
}
