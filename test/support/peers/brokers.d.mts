/** What is known of a broker that the tests start. */
export interface Description {
  readonly program: string;
  readonly debian: string;
}

export interface Running {
  readonly url: string;
  readonly login: string;
  readonly passcode: string;
  restart: () => Promise<void>;
  stop: () => Promise<void>;
}

export const brokers: Readonly<Record<string, Description>>;
export const CREDENTIALS: { readonly login: string; readonly passcode: string };
export function installed(name: string): boolean;
export function start(name: string, options?: { persistent?: boolean; java?: string }): Promise<Running>;
