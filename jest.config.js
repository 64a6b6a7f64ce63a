const jestJupyterLab = require('@jupyterlab/testing/lib/jest-config');

const baseConfig = jestJupyterLab(__dirname);

// JupyterLab's packages are ES modules, which Jest does not read as they are.
const esModules = [
  '@codemirror',
  '@jupyter',
  '@jupyterlab',
  '@marijn',
  '@microsoft',
  '@rjsf',
  'lib0',
  'nanoid',
  'y-',
  'yjs',
  'color',
  'exenv-es6',
  'marked',
  'vscode'
];

module.exports = {
  ...baseConfig,
  reporters: ['default'],
  roots: ['<rootDir>/src'],
  transform: {
    ...baseConfig.transform,
    '^.+\\.tsx?$': ['ts-jest/legacy', { tsconfig: '<rootDir>/tsconfig.json' }]
  },
  setupFilesAfterEnv: ['<rootDir>/src/__tests__/setup.ts'],
  transformIgnorePatterns: [`/node_modules/(?!(${esModules.join('|')}))`],
  testRegex: 'src/.*/__tests__/.*\\.spec\\.tsx?$'
};
