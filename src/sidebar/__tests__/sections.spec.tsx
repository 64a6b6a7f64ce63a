import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { act, render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import React from 'react';

import { artifact, lineage, node, service } from '../../__tests__/fixtures';
import { FakeServer } from '../../__tests__/server';
import type { KaleServeModel } from '../../model/model';
import { CommandIDs } from '../../tokens';
import { EndpointsSection } from '../EndpointsSection';
import { LineageSection } from '../LineageSection';
import { ModelsSection } from '../ModelsSection';
import type { IMenuEntry, IPanelProps } from '../panelprops';
import { ServingSection } from '../ServingSection';

const FAILED = service('fraud', {
  state: 'Failed',
  ready_revision: null,
  sentence: 'The model needs xgboost 3.1.',
  next_step: 'Install xgboost 3.1.',
  stages: [{ name: 'load', state: 'failed', message: 'unknown version', seconds: 1.2 }],
  error: { code: 'ModelLoadFailed', message: '', details: { log_tail: ['XGBoostError: unknown version'] } }
});

describe('the side bar', () => {
  let server: FakeServer;
  let model: KaleServeModel;
  let props: IPanelProps;
  let executed: [string, unknown][];
  let menus: (readonly IMenuEntry[])[];

  beforeEach(() => {
    server = new FakeServer();
    model = server.model();
    executed = [];
    menus = [];
    const commands = new CommandRegistry();
    for (const id of Object.values(CommandIDs)) {
      commands.addCommand(id, { execute: args => void executed.push([id, args]), describedBy: { args: {} } });
    }
    const trans = nullTranslator.load('kale_serve_lab');
    props = { model, commands, trans, openMenu: entries => menus.push(entries) };
    server.answer('GET api/services', { body: { seq: 1, items: [] } });
    server.answer('GET api/artifacts', { body: { items: [], next_page_token: null, total: 0 } });
  });

  afterEach(() => model.dispose());

  const shown = async (section: JSX.Element) => {
    render(section);
    await act(() => model.refresh());
  };

  it('says what endpoints are for where there are none, and offers one button', async () => {
    await shown(<EndpointsSection {...props} />);
    await userEvent.click(screen.getByRole('button', { name: 'Serve a model from this notebook' }));
    expect(executed).toEqual([[CommandIDs.serveCell, {}]]);
  });

  it('opens an endpoint, and its menu', async () => {
    server.answer('GET api/services', { body: { seq: 1, items: [service('tumour')] } });
    await shown(<EndpointsSection {...props} />);
    await userEvent.click(screen.getByRole('button', { name: 'tumour' }));
    expect(executed).toEqual([
      [CommandIDs.openEndpoint, { name: 'tumour', namespace: 'default', target: 'local' }]
    ]);
    await userEvent.click(screen.getByRole('button', { name: /What can be done/ }));
    const entries = menus[0].map(entry => (entry === 'separator' ? entry : entry.command));
    expect(entries).toEqual([
      CommandIDs.openEndpoint,
      CommandIDs.copyUrl,
      CommandIDs.showLogs,
      CommandIDs.showLineage,
      'separator',
      CommandIDs.deleteEndpoint
    ]);
  });

  it('says which server answers an endpoint, and what it speaks', async () => {
    const other = service('other', { runtime: 'kserve-tritonserver', protocols: ['v2', 'grpc-v2'] });
    server.answer('GET api/services', { body: { seq: 1, items: [service('tumour'), other] } });
    await shown(<EndpointsSection {...props} />);
    expect(screen.getByText('Built-in · v1, v2')).toBeVisible();
    expect(screen.getByText('Triton · v2, gRPC')).toBeVisible();
  });

  it('says the format of a model, and whether it runs code when loaded', async () => {
    const onnx = artifact(13, { name: 'digits', framework: 'onnx', executable: false });
    const items = [artifact(12, { framework: 'pytorch' }), onnx];
    server.answer('GET api/artifacts', { body: { items, next_page_token: null, total: 2 } });
    await shown(<ModelsSection {...props} />);
    const rows = screen.getAllByRole('listitem');
    expect(rows[0]).toHaveTextContent('PyTorch');
    expect(rows[0]).toHaveTextContent('runs code when loaded');
    expect(rows[1]).toHaveTextContent('ONNX');
    expect(rows[1]).not.toHaveTextContent('runs code when loaded');
  });

  it('says why an endpoint failed and what to do, and shows the log at a click', async () => {
    server.answer('GET api/services', { body: { seq: 1, items: [FAILED] } });
    await shown(<EndpointsSection {...props} />);
    expect(screen.getByRole('alert')).toHaveTextContent('The model needs xgboost 3.1.');
    expect(screen.getByText('Install xgboost 3.1.')).toBeVisible();
    await userEvent.click(screen.getByRole('button', { name: 'why?' }));
    expect(screen.getByText('XGBoostError: unknown version')).toBeVisible();
    await userEvent.click(screen.getByRole('button', { name: 'logs of fraud' }));
    expect(executed).toEqual([
      [CommandIDs.showLogs, { name: 'fraud', namespace: 'default', target: 'local' }]
    ]);
  });

  it('says why nothing can be shown, and asks again at a click', async () => {
    const error = { code: 'DaemonUnavailable', message: 'The daemon does not start.', hint: 'See its log.' };
    server.answer('GET api/services', { status: 503, body: { error } });
    await shown(<EndpointsSection {...props} />);
    expect(screen.getByRole('status')).toHaveTextContent(
      'The daemon does not start. See its log.'.replace('. ', '.')
    );
    server.answer('GET api/services', { body: { seq: 1, items: [service('back')] } });
    await userEvent.click(screen.getByRole('button', { name: 'Try again' }));
    expect(await screen.findByRole('button', { name: 'back' })).toBeVisible();
  });

  it('shows the newest version of a model and the older ones at a click', async () => {
    const items = [artifact(12, { version: '1.2.0' }), artifact(11, { version: '1.1.0' })];
    server.answer('GET api/artifacts', { body: { items, next_page_token: null, total: 2 } });
    await shown(<ModelsSection {...props} />);
    await userEvent.click(screen.getByRole('button', { name: 'Serve tumour-model 1.2.0' }));
    expect(executed).toEqual([[CommandIDs.serveArtifact, { id: 12 }]]);
    expect(screen.queryByRole('button', { name: 'Serve tumour-model 1.1.0' })).toBeNull();
    await userEvent.click(screen.getByRole('button', { name: '2 versions of tumour-model' }));
    expect(screen.getByRole('button', { name: 'Serve tumour-model 1.1.0' })).toBeVisible();
  });

  it('searches on the server once typing pauses', async () => {
    server.answer('GET api/artifacts', { body: { items: [artifact(1)], next_page_token: null, total: 1 } });
    await shown(<ModelsSection {...props} />);
    server.answer('GET api/artifacts', { body: { items: [], next_page_token: null, total: 0 } });
    await userEvent.type(screen.getByRole('searchbox'), 'digits');
    expect(await screen.findByText('Nothing matches “digits”.')).toBeVisible();
    expect(server.asked.filter(call => call.includes('q='))).toHaveLength(1);
  });

  it('shows how far an endpoint is', async () => {
    const stages = [
      { name: 'create', state: 'done', message: null, seconds: 0.1 },
      { name: 'load', state: 'running', message: 'loading 48 MB', seconds: 0.4 },
      { name: 'ready', state: 'waiting', message: null, seconds: null }
    ] as const;
    const loading = service('gbm', { state: 'Loading', ready_revision: null, stages: [...stages] });
    server.answer('GET api/services', { body: { seq: 1, items: [loading, service('other')] } });
    await shown(<ServingSection {...props} />);
    expect(screen.queryByText('other')).toBeNull();
    const steps = within(screen.getByRole('list', { name: 'Stages' })).getAllByRole('listitem');
    expect(steps.map(step => step.getAttribute('aria-current'))).toEqual([null, 'step', null]);
    expect(screen.getByText('loading 48 MB · 0.4 s')).toBeVisible();
  });

  it('walks the lineage by arrow keys, and Enter opens the endpoint', async () => {
    const graph = lineage('artifact:12', ['execution:1', 'artifact:12'], ['artifact:12', 'artifact:20']);
    graph.nodes = graph.nodes.map(each =>
      each.key === 'artifact:20' ? node('artifact:20', { type: 'kale.Endpoint', name: 'tumour' }) : each
    );
    server.answer('GET api/artifacts/12/lineage', { body: graph });
    render(<LineageSection {...props} />);
    act(() => model.select({ artifact: 12, label: 'tumour-model 1.0.0' }));
    const items = await screen.findAllByRole('treeitem');
    expect(items.map(item => item.tabIndex)).toEqual([0, -1, -1]);
    act(() => items[0].focus());
    await userEvent.keyboard('{ArrowDown}{ArrowDown}');
    expect(items[2]).toHaveFocus();
    expect(items[2]).toHaveAccessibleName('goes into: tumour, endpoint');
    await userEvent.keyboard('{Enter}');
    expect(executed).toEqual([
      [CommandIDs.openEndpoint, { name: 'tumour', namespace: 'default', target: 'local' }]
    ]);
  });
});
