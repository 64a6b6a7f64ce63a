import fs from 'fs';
import os from 'os';
import path from 'path';

import { defineConfig } from '@playwright/test';
import galata from '@jupyterlab/galata/lib/playwright-config';

// Workers read this file again: what is made here once comes to them through the environment.
if (!process.env.KALE_SERVE_DATA_DIR) {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'ksl-ui-'));
  process.env.KALE_SERVE_UI_HOME = home;
  process.env.KALE_SERVE_DATA_DIR = path.join(home, 'data');
  process.env.XDG_RUNTIME_DIR = home;
  process.env.JUPYTERLAB_GALATA_ROOT_DIR = path.join(home, 'notebooks');
  process.env.KALE_SERVE_UI_PORT ??= '8897';
  fs.mkdirSync(process.env.JUPYTERLAB_GALATA_ROOT_DIR);
}

const url = `http://localhost:${process.env.KALE_SERVE_UI_PORT}`;

// galata asks its fixtures for the server under this name.
process.env.TARGET_URL ??= url;

export default defineConfig({
  ...(galata as object),
  testDir: 'tests',
  outputDir: 'test-results',
  reporter: [['list'], ['html', { open: 'never' }]],
  globalTeardown: './teardown.ts',
  // One daemon and one home for all: the tests look at the same endpoints.
  workers: 1,
  fullyParallel: false,
  timeout: 120_000,
  expect: { timeout: 20_000 },
  use: {
    baseURL: url,
    viewport: { width: 1440, height: 900 },
    trace: 'retain-on-failure',
    video: 'off',
    launchOptions: {
      executablePath: process.env.KALE_SERVE_CHROMIUM ?? '/usr/bin/chromium',
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync'
      ]
    }
  },
  webServer: {
    command: 'jupyter lab --config jupyter_server_test_config.py',
    url: `${url}/lab`,
    timeout: 120_000,
    reuseExistingServer: false,
    gracefulShutdown: { signal: 'SIGTERM', timeout: 10_000 },
    stdout: 'ignore',
    stderr: process.env.KALE_SERVE_UI_LOG ? 'pipe' : 'ignore'
  }
});
