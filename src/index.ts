import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { commandsPlugin } from './plugins/commands';
import { lineagePlugin } from './plugins/lineage';
import { logsPlugin } from './plugins/logs';
import { modelPlugin } from './plugins/model';
import { playgroundPlugin } from './plugins/playground';
import { servePlugin } from './plugins/serve';
import { sidebarPlugin } from './plugins/sidebar';
import { statusPlugin } from './plugins/status';

const plugins: JupyterFrontEndPlugin<unknown>[] = [
  modelPlugin,
  commandsPlugin,
  sidebarPlugin,
  lineagePlugin,
  logsPlugin,
  statusPlugin,
  playgroundPlugin,
  servePlugin
];

export default plugins;
