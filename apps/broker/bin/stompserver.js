#!/usr/bin/env node
// npm links a bin only if its file exists when it installs, so this one is committed and loads the built program.
import { existsSync } from 'node:fs';

const main = new URL('../dist/main.js', import.meta.url);
if (existsSync(main)) {
  await import(main.href);
} else {
  console.error('stompserver is not built yet: run "npm run build" in the project first');
  process.exitCode = 1;
}
