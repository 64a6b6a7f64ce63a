import { execFileSync } from 'child_process';
import fs from 'fs';

/** The daemon outlives the Jupyter server, as it should; after the tests it goes with all that it serves. */
export default function teardown(): void {
  const home = process.env.KALE_SERVE_UI_HOME;
  if (!home) {
    return;
  }
  execFileSync('python', ['-m', 'kale_serve_lab.cli', 'stop', '--all'], { stdio: 'inherit' });
  fs.rmSync(home, { recursive: true, force: true });
}
