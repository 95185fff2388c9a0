import { spawnSync } from 'node:child_process';

/**
 * A command that runs another one with file systems of its own, which go with it.
 *
 * @param mount what mounts them, in the shell; `$0` is the directory
 */
export function mounting(mount: string, directory: string): string[] {
  const ways = [
    ['unshare', '-m'],
    ['unshare', '-rm'],
  ].map((way) => [...way, 'sh', '-c', `${mount} && exec "$@"`, directory]);
  const way = ways.find(([file = '', ...words]) => spawnSync(file, [...words, 'true']).status === 0);
  if (way !== undefined) return way;
  throw new Error('this test mounts a file system: run it as root, or where user namespaces are permitted');
}
