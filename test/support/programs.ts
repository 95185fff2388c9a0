import { afterEach } from '@jest/globals';
import { Program } from './program.js';
import { ScriptedServer } from './scripted.js';

const programs: Program[] = [];
const servers: ScriptedServer[] = [];

afterEach(async () => {
  for (const program of programs) program.signal('SIGKILL');
  await Promise.all(programs.splice(0).map((program) => program.exited));
  await Promise.all(servers.splice(0).map((server) => server.close()));
});

/** A program of one test, killed after it if it still runs. */
export function start(...[name, ...options]: Parameters<typeof Program.start>): Program {
  const program = Program.start(name, ...options);
  programs.push(program);
  return program;
}

/** The same, by a command that runs another one. */
export function startBy(...[command, name, ...options]: Parameters<typeof Program.startBy>): Program {
  const program = Program.startBy(command, name, ...options);
  programs.push(program);
  return program;
}

/** The same, with variables in its environment. */
export function startIn(...[env, name, ...options]: Parameters<typeof Program.startIn>): Program {
  const program = Program.startIn(env, name, ...options);
  programs.push(program);
  return program;
}

/** A scripted server of one test, closed after it. */
export async function script(port?: number): Promise<ScriptedServer> {
  const server = await ScriptedServer.listen(port);
  servers.push(server);
  return server;
}
