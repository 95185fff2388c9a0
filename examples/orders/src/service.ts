import { ConsoleLogger, type INestApplicationContext } from '@nestjs/common';

export const SERVICES = ['broker', 'orders', 'billing', 'gateway'] as const;
export type Service = (typeof SERVICES)[number];

/** Where the broker is, and who this service is to it. Passcodes are secrets: give them in the environment. */
export function connectionOf(service: Service): { url: string; login: string; passcode: string } {
  return {
    url: process.env.BROKER_URL ?? 'stomp://localhost:61613',
    login: service,
    passcode: passcodeOf(service),
  };
}

export function passcodeOf(service: Service): string {
  return process.env[`${service.toUpperCase()}_PASSCODE`] ?? `${service}-passcode`;
}

export function loggerOf(service: Service): ConsoleLogger {
  return new ConsoleLogger({ prefix: service, logLevels: ['log', 'warn', 'error'] });
}

/** The service runs: it ends cleanly at a signal, and tells whoever started it where it can be reached. */
export function announce(app: INestApplicationContext, url = ''): void {
  app.enableShutdownHooks([], { useProcessExit: true });
  // No service outlives the example that started it.
  process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
  process.send?.(url);
}
