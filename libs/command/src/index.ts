export { addConnectionOptions, type ConnectionValues, readConnection } from './connection.js';
export { ExitCode, runProgram, UsageError } from './program.js';
