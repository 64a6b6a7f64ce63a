import js from '@eslint/js';
import jupyterPlugin from '@jupyter/eslint-plugin';
import prettier from 'eslint-config-prettier';
import globals from 'globals';
import tseslint from 'typescript-eslint';

export default tseslint.config(
  {
    ignores: [
      'coverage/',
      'kale_serve_lab/',
      'lib/',
      'node_modules/',
      '.venv/',
      '.env-stamps/',
      '.lab/',
      'tests/',
      'build/',
      'dist/',
      'ui-tests/node_modules/',
      'ui-tests/playwright-report/',
      'ui-tests/test-results/',
      'style/index.js'
    ]
  },
  js.configs.recommended,
  {
    files: ['**/*.ts', '**/*.tsx'],
    extends: [...tseslint.configs.recommended],
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/naming-convention': [
        'error',
        { selector: 'interface', format: ['PascalCase'], custom: { regex: '^I[A-Z]', match: true } }
      ],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-namespace': 'off',
      '@typescript-eslint/no-unused-vars': 'error',
      curly: ['error', 'all'],
      eqeqeq: 'error',
      'max-lines': ['error', 400],
      'prefer-arrow-callback': 'error'
    }
  },
  {
    files: ['src/**/*.ts', 'src/**/*.tsx'],
    languageOptions: { globals: globals.browser }
  },
  {
    // The token is one symbol with its interface, as everywhere in JupyterLab.
    files: ['src/tokens.ts'],
    rules: { '@typescript-eslint/no-redeclare': 'off' }
  },
  {
    files: ['*.js', '*.mjs', 'ui-tests/*.js'],
    languageOptions: { globals: globals.node }
  },
  { plugins: { jupyter: jupyterPlugin } },
  ...jupyterPlugin.configs.recommended,
  {
    // What a test feeds in is nobody's interface.
    files: ['**/__tests__/**', 'ui-tests/**'],
    rules: { 'jupyter/no-untranslated-string': 'off' }
  },
  prettier
);
