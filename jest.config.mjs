const swc = {
  module: { type: 'es6' },
  sourceMaps: 'inline',
  jsc: {
    target: 'es2022',
    parser: { syntax: 'typescript', decorators: true, dynamicImport: true },
    transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: true },
    keepClassNames: true,
  },
};

export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testRegex: '\\.spec\\.ts$',
  moduleFileExtensions: ['ts', 'js', 'mjs', 'json'],
  extensionsToTreatAsEsm: ['.ts'],
  modulePathIgnorePatterns: ['<rootDir>/(libs|apps|examples|bench)/[^/]+/dist/'],
  moduleNameMapper: {
    '^nestjs-stomp/(frame|wire|client|server)$': '<rootDir>/libs/stomp/src/$1/index.ts',
    '^nestjs-stomp$': '<rootDir>/libs/stomp/src/index.ts',
    '^nestjs-stomp-command$': '<rootDir>/libs/command/src/index.ts',
    '^nestjs-stomp-broker/testing$': '<rootDir>/libs/broker/src/testing/index.ts',
    '^nestjs-stomp-broker$': '<rootDir>/libs/broker/src/index.ts',
    '^(\\.{1,2}/.*)\\.js$': '$1',
  },
  transform: { '^.+\\.ts$': ['@swc/jest', swc] },
  globalSetup: '<rootDir>/test/support/peers/setup.mjs',
  globalTeardown: '<rootDir>/test/support/peers/teardown.mjs',
  testTimeout: 20_000,
};
