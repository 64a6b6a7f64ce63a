const jestJupyterLab = require('@jupyterlab/testing/lib/jest-config');

const baseConfig = jestJupyterLab(__dirname);

module.exports = {
  ...baseConfig,
  reporters: ['default'],
  roots: ['<rootDir>/src'],
  // The types are checked by the build; here only the speed counts.
  transform: {
    ...baseConfig.transform,
    '^.+\\.tsx?$': ['ts-jest/legacy', { tsconfig: '<rootDir>/tsconfig.json', isolatedModules: true }]
  },
  setupFilesAfterEnv: ['<rootDir>/src/__tests__/setup.ts'],
  testRegex: 'src/.*/__tests__/.*\\.spec\\.tsx?$'
};
