// Makes one file of each program and of all that it loads, as the last step of the build: a start that opens a few
// files takes a third of one that opens a thousand. `nest build` and `nest start` work without it, by dist/main.js.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { build } from 'esbuild';

const programs = ['broker', 'stomper', 'printer'];

/** What Nest names as its peers: mostly what it loads only where an application asks for it, and these do not. */
function peers() {
  const require = createRequire(new URL('broker/package.json', import.meta.url));
  const bundled = ['@nestjs/common', '@nestjs/core', '@nestjs/microservices', 'rxjs'];
  const named = bundled
    .filter((name) => name.startsWith('@nestjs/'))
    .map((name) => JSON.parse(readFileSync(require.resolve(name).replace(/[^/\\]+$/, 'package.json'), 'utf8')))
    .flatMap(({ peerDependencies = {} }) => Object.keys(peerDependencies));
  return [...new Set(named)].filter((name) => !bundled.includes(name));
}

// And native code, what Nest looks for by a name of its own, and reflect-metadata (by the list above), which has to run
// before the code of all who import it: inside, it would run between them.
const external = [...peers(), 'bcrypt', 'file-type', '@nestjs/platform-fastify', '@fastify/*', '@grpc/*', 'nats'];

for (const program of programs) {
  await build({
    entryPoints: { bundle: `apps/${program}/dist/main.js` },
    absWorkingDir: new URL('..', import.meta.url).pathname.replace(/\/$/, ''),
    outdir: `apps/${program}/dist`,
    chunkNames: 'bundle-[hash]',
    bundle: true,
    // What is loaded later stays apart, so that --help need not wait for Nest.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    keepNames: true,
    external,
    // Packages of the older kind ask for Node's modules by this name.
    banner: {
      js: "import { createRequire as $require } from 'node:module'; const require = $require(import.meta.url);",
    },
    logLevel: 'warning',
  });
}
