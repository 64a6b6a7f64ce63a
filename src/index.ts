import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { playgroundPlugin } from './plugins/playground';
import { servePlugin } from './plugins/serve';

const plugins: JupyterFrontEndPlugin<unknown>[] = [playgroundPlugin, servePlugin];

export default plugins;
