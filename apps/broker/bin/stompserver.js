#!/usr/bin/env node
// npm links a bin only if its file exists when it installs, so this one is committed and loads the built program: in one
// piece, as `npm run build` leaves it, or file by file after `nest build`.
import { existsSync } from 'node:fs';

const main = ['../dist/bundle.js', '../dist/main.js'].map((file) => new URL(file, import.meta.url)).find(existsSync);
if (main !== undefined) {
  await import(main.href);
} else {
  console.error('stompserver is not built yet: run "npm run build" in the project first');
  process.exitCode = 1;
}
