export { Command, Option } from 'commander';
export { type ProgramCommand, runCommand } from './application.js';
export { Broker } from './broker.js';
export { addConnectionOptions, type ConnectionValues, readConnection } from './connection.js';
export { escapeJson, escapeLines, escapeText } from './escape.js';
export { Interruption } from './interruption.js';
export { explainPair, type PemFile } from './pem.js';
export { ProgramLogger } from './logger.js';
export { ExitCode, readVersion, readWhole, runProgram, UsageError } from './program.js';
