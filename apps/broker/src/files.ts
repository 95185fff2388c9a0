import { unwatchFile, watchFile } from 'node:fs';

/** How often a file is looked at, in ms. */
const INTERVAL = 500;

/**
 * Calls back whenever one of these files has changed: written to, replaced by another of its name, or behind a symbolic
 * link that leads elsewhere now. Files are looked at in turns, which no file system and no editor can evade.
 *
 * @returns ends it
 */
export function watchFiles(paths: readonly string[], changed: () => void): () => void {
  const listener = () => changed();
  for (const path of paths) watchFile(path, { interval: INTERVAL, persistent: false }, listener);
  return () => {
    for (const path of paths) unwatchFile(path, listener);
  };
}
