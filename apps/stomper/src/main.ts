import { Broker, ProgramLogger, runCommand, runProgram } from 'nestjs-stomp-command';
import { makeProgram, readOptions } from './options.js';

const program = makeProgram();

await runProgram(program, async () => {
  const options = readOptions(program);
  const logger = new ProgramLogger(program.name());
  // Before Nest: it takes longer to load than the broker to answer.
  const broker = new Broker(options.connection, logger);
  const { Stomper, StomperModule } = await import('./stomper.module.js');
  return runCommand(StomperModule.forRoot(options, broker), Stomper, logger);
});
