import { fireEvent, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';

import { artifact, service } from '../../__tests__/fixtures';
import type { IFinding, IRuntime } from '../../api';
import { Harness, serve, stages, stageStates } from './harness';

type Served = Pick<IRuntime['formats'][number], 'format' | 'protocols'>;

function runtime(name: string, served: Served[], change: Partial<IRuntime> = {}): IRuntime {
  const formats = served.map(one => ({ ...one, installed: change.installed ?? true }));
  return { name, formats, installed: true, size: null, reason: null, source: 'table', ...change };
}

const RUNTIMES: IRuntime[] = [
  runtime('kserve-torchserve', [{ format: 'pytorch', protocols: ['v1', 'v2'] }], { installed: false }),
  runtime('kale-built-in', [
    { format: 'sklearn', protocols: ['v1', 'v2', 'grpc-v2'] },
    { format: 'pytorch', protocols: ['v1', 'v2', 'grpc-v2'] }
  ]),
  runtime('kserve-mlserver', [{ format: 'sklearn', protocols: ['v2'] }], {
    installed: false,
    size: 720_000_000
  }),
  runtime('kserve-sklearnserver', [{ format: 'sklearn', protocols: ['v1', 'v2'] }], {
    reason: 'There is no uv here to make its environment with.'
  }),
  runtime('my-server', [{ format: 'sklearn', protocols: ['v1'] }], { source: '/data/runtimes/my.yaml' })
];

describe('the choice of a runtime', () => {
  let harness: Harness;

  beforeEach(() => {
    harness = new Harness();
    harness.server.answer('GET api/runtimes', { body: { items: RUNTIMES } });
  });

  afterEach(() => harness.model.dispose());

  const advanced = async () => userEvent.click(await screen.findByRole('button', { name: 'Advanced' }));
  const configs: unknown[] = [];
  /** The config of each question that the form has put. */
  const listen = (findings: IFinding[] = []) => {
    configs.length = 0;
    harness.server.answer('POST api/services', request => {
      configs.push((request as { config: object }).config);
      return { body: { findings, service: null } };
    });
  };
  const lastConfig = () => configs[configs.length - 1];

  it('is made already, and said in a line', async () => {
    listen();
    await harness.open();
    const more = await screen.findByRole('button', { name: 'Advanced' });
    expect(more).toHaveAttribute('aria-expanded', 'false');
    expect(screen.getByText('Built-in · v2')).toBeVisible();
    expect(screen.queryByRole('radio', { name: 'MLServer' })).toBeNull();
    await waitFor(() => expect(lastConfig()).toEqual({}));
  });

  it('lists what fits first, then the others with what stands against them', async () => {
    await harness.open();
    await advanced();
    const rows = within(screen.getByRole('radiogroup', { name: 'Runtime' })).getAllByRole('listitem');
    expect(rows.map(row => row.textContent)).toEqual([
      'Built-inin this notebook’s environment',
      'MLServerits environment is made first (about 720 MB)',
      'my-serveryour own',
      'TorchServeServes PyTorch only.',
      'KServe scikit-learn serverThere is no uv here to make its environment with.'
    ]);
    expect(screen.getByRole('radio', { name: 'Built-in' })).toBeChecked();
    expect(screen.getByRole('radio', { name: 'TorchServe' })).toBeDisabled();
    expect(screen.getByRole('radio', { name: 'TorchServe' })).toHaveAccessibleDescription(
      'Serves PyTorch only.'
    );
  });

  it('asks the server of each change, and sends only what is not taken without asking', async () => {
    listen();
    await harness.open();
    await advanced();
    await userEvent.click(screen.getByRole('radio', { name: 'MLServer' }));
    await waitFor(() => expect(lastConfig()).toEqual({ runtime: 'kserve-mlserver' }));
    expect(screen.getByText('MLServer · v2')).toBeVisible();
    await userEvent.click(screen.getByRole('radio', { name: 'my-server' }));
    await waitFor(() => expect(lastConfig()).toEqual({ runtime: 'my-server' }));
    expect(screen.getByText('my-server · v1')).toBeVisible();
    await userEvent.click(screen.getByRole('radio', { name: 'Built-in' }));
    fireEvent.change(screen.getByRole('combobox', { name: 'Protocol' }), { target: { value: 'grpc-v2' } });
    await waitFor(() => expect(lastConfig()).toEqual({ protocol_version: 'grpc-v2' }));
    expect(screen.getByRole('radio', { name: 'MLServer' })).toBeDisabled();
    expect(screen.getByRole('radio', { name: 'MLServer' })).toHaveAccessibleDescription(
      'Does not speak v2 over gRPC for scikit-learn.'
    );
  });

  it('opens by itself where something in it is to be mended', async () => {
    const finding: IFinding = {
      code: 'ProgramMissing',
      severity: 'error',
      field: 'config.runtime',
      message: 'There is no java on the PATH.',
      fix: 'Install a Java runtime.'
    };
    listen([finding]);
    await harness.open();
    const group = await screen.findByRole('radiogroup', { name: 'Runtime' });
    expect(group).toHaveAccessibleDescription('There is no java on the PATH. Install a Java runtime.');
    expect(screen.getByRole('button', { name: 'Serve' })).toBeDisabled();
  });

  it('goes on with the runtime of the revision before', async () => {
    const before = service('tumour-model', { config: { runtime: 'kserve-mlserver' } });
    harness.server.answer('GET api/services', { body: { seq: 1, items: [before] } });
    listen();
    await harness.open();
    expect(await screen.findByText('MLServer · v2')).toBeVisible();
    await waitFor(() => expect(lastConfig()).toEqual({ runtime: 'kserve-mlserver' }));
  });

  it('says where a stored model would run', async () => {
    harness.server.answer('GET api/artifacts/12', { body: artifact(12, { framework: 'pytorch' }) });
    await harness.open({ kind: 'artifact', id: 12 });
    expect(await screen.findByText('in the model’s own environment')).toBeVisible();
    await advanced();
    expect(screen.getByRole('radio', { name: 'TorchServe' })).toBeEnabled();
  });
});

describe('preflight', () => {
  let harness: Harness;

  beforeEach(() => {
    harness = new Harness();
  });

  afterEach(() => harness.model.dispose());

  const ticks = () =>
    within(screen.getByRole('list', { name: 'Preflight' }))
      .getAllByRole('listitem')
      .map(item => `${item.dataset['check']} ${item.dataset['state']}`);

  it('has a tick for each check, once the server has answered', async () => {
    await harness.open();
    await screen.findByRole('list', { name: 'Preflight' });
    expect(ticks()).toContain('name asking');
    await waitFor(() => expect(ticks()).toEqual(['name ok', 'model later', 'sample ok', 'runtime ok']));
    expect(screen.getByText('It can be served')).toBeInTheDocument();
  });

  it('marks remarks and what is to be mended, and says them at their fields', async () => {
    const warning = {
      code: 'Skew',
      severity: 'warning',
      field: 'config.runtime',
      message: 'Saved with scikit-learn 1.9, the runtime has 1.5.',
      fix: null
    };
    const ignored = { ...warning, field: 'config.limits', message: 'limits has no effect on this machine.' };
    harness.server.answer('POST api/services', { body: { findings: [warning, ignored], service: null } });
    harness.server.answer('GET api/runtimes', { body: { items: RUNTIMES } });
    await harness.open();
    await waitFor(() => expect(ticks()).toEqual(['name ok', 'model later', 'sample ok', 'runtime warning']));
    expect(screen.getByText('limits has no effect on this machine.')).toBeVisible();
    fireEvent.change(screen.getByRole('combobox', { name: 'Sample' }), { target: { value: '' } });
    await userEvent.clear(screen.getByRole('textbox', { name: 'Endpoint name' }));
    await waitFor(() => expect(ticks()).toContain('name error'));
    expect(ticks()).toContain('sample warning');
    expect(screen.getByText(/thing is to be mended/)).toBeInTheDocument();
  });

  it('shows the environment that is made as a stage, with its latest line', async () => {
    const line = `Downloading ${'torch, '.repeat(40)}`;
    const making = service('tumour-model', {
      state: 'Loading',
      ready_revision: null,
      stages: stages(['environment', 'running', 12.34, line], ['create', 'waiting', null])
    });
    harness.serving({ status: 202, body: making });
    await harness.open();
    await serve();
    await waitFor(() => expect(stageStates()).toContain('environment running'));
    expect(stageStates().map(stage => stage.split(' ')[0])).toEqual([
      'package',
      'check',
      'store',
      'environment',
      'create',
      'load',
      'predict',
      'ready'
    ]);
    expect(screen.getByTitle(line.trim())).toBeVisible();
  });

  it('leaves a failed environment at its stage, with the cause', async () => {
    const error = {
      code: 'EnvironmentFailed',
      message: 'No version of mlserver fits Python 3.13.',
      hint: 'Install Python 3.11.',
      details: { log_tail: ['error: no solution'] }
    };
    const failed = service('tumour-model', {
      state: 'Failed',
      ready_revision: null,
      stages: stages(['environment', 'failed', 3], ['create', 'waiting', null]),
      error
    });
    harness.server.answer('GET api/artifacts/12', { body: artifact(12) });
    harness.serving({ status: 202, body: failed });
    await harness.open({ kind: 'artifact', id: 12 });
    await serve();
    expect(await screen.findByRole('alert')).toHaveTextContent(
      'No version of mlserver fits Python 3.13.Install Python 3.11.'
    );
    expect(stageStates()).toEqual([
      'package done',
      'store done',
      'environment failed',
      'create waiting',
      'load waiting',
      'predict waiting',
      'ready waiting'
    ]);
  });
});
