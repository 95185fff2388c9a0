import js from '@eslint/js';
import ts from 'typescript-eslint';

/**
 * The layers, each with the folders (of its own package) it may import from. What is not named is forbidden, so
 * that dependencies point one way: nest -> client -> wire -> frame, broker -> server -> wire -> frame, and
 * broker.ts -> engine -> store. Only the rims named in `nest` may import Nest or rxjs.
 */
const layers = {
  'libs/stomp/src/frame': [],
  'libs/stomp/src/wire': ['frame'],
  'libs/stomp/src/client': ['wire', 'frame'],
  'libs/stomp/src/server': ['wire', 'frame'],
  'libs/broker/src/destination': [],
  'libs/broker/src/store': ['destination'],
  'libs/broker/src/engine': ['store', 'destination'],
};
const folders = ['frame', 'wire', 'client', 'server', 'nest', 'destination', 'store', 'engine', 'testing'];
const frameworks = {
  regex: '^(@nestjs/|rxjs|reflect-metadata)',
  message: 'Plain code carries: only the Nest rim imports Nest or rxjs.',
};

const boundaries = Object.entries(layers).flatMap(([folder, allowed]) => {
  const own = folder.split('/').at(-1);
  const refused = folders.filter((name) => name !== own && !allowed.includes(name));
  // Below a layer's folder there is at most one more, of its parts.
  return [
    { files: `${folder}/*.ts`, above: '\\.\\./' },
    { files: `${folder}/*/*.ts`, above: '\\.\\./\\.\\./' },
  ].map(({ files, above }) => ({
    files: [files],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            frameworks,
            {
              regex: `^\\.\\./(?:.*/)?(${refused.join('|')})/`,
              message: `${folder} may import from ${allowed.join(', ') || 'nothing'} only.`,
            },
            { regex: `^${above}[^/]+\\.js$`, message: `${folder} may not import what lies above it.` },
          ],
        },
      ],
    },
  }));
});

export default ts.config(
  { ignores: ['**/dist/**', 'node_modules/**', 'coverage/**'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [...ts.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      'no-console': 'error',
    },
  },
  {
    files: ['**/*.{js,mjs}'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        URL: 'readonly',
        Buffer: 'readonly',
        performance: 'readonly',
        globalThis: 'readonly',
      },
    },
  },
  ...boundaries,
);
