// Makes one file of each program and of all that it loads, as the last step of the build: a start that opens a few
// files takes a third of one that opens a thousand. `nest build` and `nest start` work without it, by dist/main.js.
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { build } from 'esbuild';
import ts from 'typescript';

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

/**
 * Classes keep their names, which Nest shows; functions have theirs already. esbuild would define the name of each
 * closure as it is made, which costs a call and a table of its own for every one of them.
 */
function leaveFunctions(code) {
  const source = ts.createSourceFile('bundle.js', code, ts.ScriptTarget.Latest);
  const kept = [];
  let from = 0;
  const drop = (start, end) => {
    kept.push(code.slice(from, start));
    from = end;
  };
  const visit = (node) => {
    if (!ts.isCallExpression(node) || node.expression.text !== '__name') ts.forEachChild(node, visit);
    else {
      const [target, name] = node.arguments;
      if (ts.isArrowFunction(target) || ts.isFunctionExpression(target)) {
        drop(node.getStart(source), target.getStart(source));
        ts.forEachChild(target, visit);
        drop(target.end, node.end);
      } else if (target.text === name.text) drop(node.getStart(source), node.end);
    }
  };
  visit(source);
  return [...kept, code.slice(from)].join('');
}

for (const program of programs) {
  const { outputFiles } = await build({
    entryPoints: { bundle: `apps/${program}/dist/main.js` },
    absWorkingDir: new URL('..', import.meta.url).pathname.replace(/\/$/, ''),
    outdir: `apps/${program}/dist`,
    write: false,
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
  const folder = new URL(`${program}/dist/`, import.meta.url);
  for (const old of readdirSync(folder)) if (/^bundle.*\.js$/.test(old)) rmSync(new URL(old, folder));
  for (const { path, text } of outputFiles) writeFileSync(path, leaveFunctions(text));
}
