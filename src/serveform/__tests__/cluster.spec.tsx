import { Clipboard } from '@jupyterlab/apputils';
import { configure, fireEvent, screen, waitFor, within } from '@testing-library/react';

import { artifact, service, target } from '../../__tests__/fixtures';
import type { IFinding, IRuntime, IServiceRequest, ITarget } from '../../api';
import { Harness, serve, stages, stageStates } from './harness';

const KSERVE = 'kubeflow-user / KServe 0.20';

const TAKEN: IFinding = {
  code: 'NameTaken',
  severity: 'error',
  field: 'name',
  message: 'There is an inferenceservice kubeflow-user/tumour-model that Kale did not make.',
  fix: 'Choose another name.'
};

const OF_CLUSTER: IRuntime[] = ['kserve-mlserver', 'kserve-sklearnserver'].map(name => ({
  name,
  formats: [{ format: 'sklearn', protocols: ['v1', 'v2'], installed: true }],
  installed: true,
  size: null,
  reason: null,
  source: 'cluster'
}));

// Whole forms are drawn again and again: on a busy machine that takes its time.
jest.setTimeout(60_000);
configure({ asyncUtilTimeout: 15_000 });

describe('serving to a cluster', () => {
  let harness: Harness;
  let asked: (IServiceRequest & { dry_run: boolean })[];

  beforeEach(() => {
    localStorage.clear();
    harness = new Harness();
    asked = [];
    answer();
    cluster();
    harness.server.answer('GET api/artifacts/12', { body: artifact(12) });
  });

  afterEach(() => {
    harness.model.dispose();
    jest.restoreAllMocks();
  });

  const cluster = (change: Partial<ITarget> = {}, byDefault = 'local') =>
    harness.server.answer('GET api/targets', {
      body: { default: byDefault, items: [target(), target('kserve', change)] }
    });
  /** What the dry run says; its YAML is what was asked for, so that each change shows. */
  const answer = (findings: (request: IServiceRequest) => IFinding[] = () => []) =>
    harness.server.answer('POST api/services', body => {
      const request = body as (typeof asked)[number];
      asked.push(request);
      const yaml = request.target === 'kserve' ? `config: ${JSON.stringify(request.config)}\n` : null;
      const runtime = { runtime: 'kserve-mlserver' };
      const seen = service(request.name ?? '', { target: request.target, ...runtime });
      return request.dry_run
        ? { body: { findings: findings(request), service: seen, object: null, yaml } }
        : { status: 202, body: { ...seen, findings: [] } };
    });
  const stored = () => harness.open({ kind: 'artifact', id: 12 });
  const where = async (name: string) => within(await findWhere()).getByRole('radio', { name });
  const findWhere = () => screen.findByRole('radiogroup', { name: 'Where' });
  const toCluster = async () => fireEvent.click(await where(KSERVE));
  const tab = (name: string) => fireEvent.click(screen.getByRole('tab', { name }));
  const last = () => asked[asked.length - 1];
  const button = () => screen.getByRole('button', { name: 'Serve' });
  const type = (name: string, value: string) =>
    fireEvent.change(screen.getByRole('textbox', { name }), { target: { value } });
  const resources = () => fireEvent.click(screen.getByRole('button', { name: 'Resources' }));

  it('is not offered where no cluster is configured', async () => {
    cluster({ configured: false, available: false });
    await stored();
    await screen.findByRole('combobox', { name: 'Model' });
    expect(screen.queryByRole('radiogroup', { name: 'Where' })).toBeNull();
    expect(screen.queryByRole('tab', { name: 'YAML' })).toBeNull();
    await waitFor(() => expect(last()).toMatchObject({ target: 'local', namespace: 'default' }));
  });

  it('is chosen beside this machine, by its title, and goes to its own namespace', async () => {
    await stored();
    expect(await where('this machine')).toBeChecked();
    await toCluster();
    expect(await findWhere()).toHaveTextContent('namespace kubeflow-user');
    await waitFor(() => expect(last()).toMatchObject({ target: 'kserve', namespace: null }));
    fireEvent.click(await where('this machine'));
    await waitFor(() => expect(last()).toMatchObject({ target: 'local', namespace: 'default' }));
  });

  it('is where serve() goes by default, and remembers what was chosen last', async () => {
    cluster({}, 'kserve');
    localStorage.setItem('kale-serve-lab:target', 'local');
    await stored();
    expect(await where('this machine')).toBeChecked();
    await toCluster();
    await serve();
    await waitFor(() => expect(localStorage.getItem('kale-serve-lab:target')).toBe('kserve'));
  });

  it('cannot be chosen while it is away, and says why', async () => {
    localStorage.setItem('kale-serve-lab:target', 'kserve');
    cluster({ available: false, reason: 'The API server refuses connections.', hint: 'Is the VPN up?' });
    await stored();
    expect(await where('this machine')).toBeChecked();
    expect(await where(KSERVE)).toBeDisabled();
    expect(await where(KSERVE)).toHaveAccessibleDescription(
      'The API server refuses connections. Is the VPN up?'
    );
    expect(button()).toBeEnabled();
  });

  it('blocks the button when it goes away after it has been chosen', async () => {
    await stored();
    await toCluster();
    expect(button()).toBeEnabled();
    cluster({ available: false, reason: 'The API server refuses connections.', hint: null });
    await harness.model.targets.load();
    await waitFor(async () =>
      expect(await findWhere()).toHaveAccessibleDescription('The API server refuses connections.')
    );
    expect(button()).toBeDisabled();
  });

  it('shows the object as the form stands, and copies it', async () => {
    const copied = jest.spyOn(Clipboard, 'copyToSystem').mockImplementation();
    await stored();
    await toCluster();
    resources();
    type('CPU limit', '2');
    tab('YAML');
    await waitFor(() =>
      expect(screen.getByRole('region', { name: 'YAML' })).toHaveTextContent('{"limits":{"cpu":"2"}}')
    );
    fireEvent.click(screen.getByRole('button', { name: 'Copy' }));
    expect(copied).toHaveBeenCalledWith('config: {"limits":{"cpu":"2"}}\n');
    expect(screen.getByText('Copied.')).toBeVisible();
    tab('Form');
    type('CPU limit', '3');
    tab('YAML');
    await waitFor(() =>
      expect(screen.getByRole('region', { name: 'YAML' })).toHaveTextContent('{"limits":{"cpu":"3"}}')
    );
    expect(screen.queryByText('Copied.')).toBeNull();
  });

  it('has a kernel’s model packaged before it shows the object, and serves that very one', async () => {
    await harness.open();
    await toCluster();
    tab('YAML');
    expect(screen.queryByRole('region', { name: 'YAML' })).toBeNull();
    fireEvent.click(screen.getByRole('button', { name: 'Package the model' }));
    expect(await screen.findByRole('region', { name: 'YAML' })).toBeVisible();
    expect(last()).toMatchObject({ model: 12, dry_run: true });
    await serve();
    await waitFor(() => expect(last()).toMatchObject({ model: 12, dry_run: false }));
    const submissions = harness.kernel.asked.filter(({ content }) =>
      JSON.stringify(content.user_expressions).includes('.submit(')
    );
    expect(submissions).toHaveLength(1);
  });

  it('asks to package it again when it would be another model', async () => {
    await harness.open();
    await toCluster();
    tab('YAML');
    fireEvent.click(screen.getByRole('button', { name: 'Package the model' }));
    await screen.findByRole('region', { name: 'YAML' });
    tab('Form');
    type('Version', '2.0.0');
    tab('YAML');
    expect(screen.getByRole('button', { name: 'Package the model' })).toBeEnabled();
    expect(screen.queryByRole('region', { name: 'YAML' })).toBeNull();
  });

  it('says beside each field what the server finds, and lets warnings pass', async () => {
    const finding = (field: string, severity: string, message: string): IFinding => ({
      code: 'InvalidConfig',
      severity,
      field,
      message,
      fix: 'Mend it.'
    });
    const errors = [
      finding('config.min_replicas', 'warning', 'Zero replicas sleep.'),
      finding('config.limits', 'error', 'No node is that large.')
    ];
    answer(request => (request.config['limits'] ? errors : errors.slice(0, 1)));
    await stored();
    await toCluster();
    resources();
    const least = screen.getByRole('textbox', { name: 'Replicas, least' });
    await waitFor(() => expect(least).toHaveAccessibleDescription('Zero replicas sleep. Mend it.'));
    expect(button()).toBeEnabled();
    type('Memory limit', '4Ti');
    const memory = screen.getByRole('group', { name: 'Memory' });
    await waitFor(() => expect(memory).toHaveTextContent('No node is that large. Mend it.'));
    expect(button()).toBeDisabled();
  });

  it.each([
    ['CPU requested', 'two', 'two is no amount.'],
    ['Memory limit', '4GB', '4GB is no amount.'],
    ['Replicas, most', '-1', 'A whole number'],
    ['GPUs', '0.5', 'A whole number']
  ])('refuses %s of %s beside it, and asks nobody', async (name, value, words) => {
    await stored();
    await toCluster();
    await waitFor(() => expect(last()).toMatchObject({ target: 'kserve' }));
    resources();
    asked.length = 0;
    type(name, value);
    const input = screen.getByRole('textbox', { name });
    expect(input).toBeInvalid();
    expect(input).toHaveAccessibleDescription(new RegExp(words));
    expect(button()).toBeDisabled();
    type(name, '1');
    await waitFor(() => expect(asked).toHaveLength(1));
    expect(input).not.toBeInvalid();
  });

  it('refuses to ask for more than the limit', async () => {
    await stored();
    await toCluster();
    resources();
    type('Memory requested', '2Gi');
    type('Memory limit', '1500M');
    expect(screen.getByRole('textbox', { name: 'Memory requested' })).toHaveAccessibleDescription(
      'More than the limit: 2Gi over 1500M. Ask for 1500M at most, or raise the limit.'
    );
    type('Memory limit', '2048Mi');
    await waitFor(() =>
      expect(last().config).toEqual({ requests: { memory: '2Gi' }, limits: { memory: '2048Mi' } })
    );
  });

  it('takes a name over only when told to, and forgets that with the name', async () => {
    answer(request => (request.name === 'tumour-model' ? [TAKEN] : []));
    await stored();
    await toCluster();
    const name = screen.getByRole('textbox', { name: 'Endpoint name' });
    await waitFor(() => expect(name).toHaveAccessibleDescription(/that Kale did not make/));
    expect(button()).toBeDisabled();
    fireEvent.click(screen.getByRole('checkbox', { name: /Take it over/ }));
    await waitFor(() => expect(last()).toMatchObject({ name: 'tumour-model', overwrite: true }));
    expect(button()).toBeEnabled();
    type('Endpoint name', 'another');
    await waitFor(() => expect(last().name).toBe('another'));
    expect(last().overwrite).toBeUndefined();
    expect(screen.queryByRole('checkbox', { name: /Take it over/ })).toBeNull();
  });

  it('says what others have changed of the endpoint that gets a revision', async () => {
    const there = service('tumour-model', { target: 'kserve', namespace: 'kubeflow-user' });
    harness.server.answer('GET api/services', { body: { seq: 1, items: [there] } });
    harness.server.answer('GET api/services/tumour-model/object', {
      body: { applied: {}, live: {}, yaml: '', drift: ['spec.predictor.minReplicas'] }
    });
    await stored();
    await toCluster();
    expect(await screen.findByText(/Others have changed tumour-model/)).toHaveTextContent(
      'spec.predictor.minReplicas'
    );
    expect(button()).toBeEnabled();
    tab('YAML');
    expect(screen.getAllByText(/Others have changed tumour-model/).length).toBeGreaterThan(1);
    tab('Form');
    fireEvent.click(screen.getByRole('checkbox', { name: /Take it over/ }));
    await waitFor(() => expect(last()).toMatchObject({ overwrite: true }));
  });

  it('offers the cluster’s runtimes, and the automatic choice first', async () => {
    harness.server.answer('GET api/runtimes', { body: { items: OF_CLUSTER } });
    await stored();
    await toCluster();
    await waitFor(() => expect(screen.getByText('MLServer · v2')).toBeVisible());
    fireEvent.click(screen.getByRole('button', { name: 'Advanced' }));
    const rows = within(screen.getByRole('radiogroup', { name: 'Runtime' })).getAllByRole('listitem');
    expect(rows.map(row => row.textContent)).toEqual([
      'AutomaticMLServer, as KServe would choose',
      'MLServerof the cluster',
      'KServe scikit-learn serverof the cluster'
    ]);
    fireEvent.click(screen.getByRole('radio', { name: 'KServe scikit-learn server' }));
    await waitFor(() => expect(last().config).toEqual({ runtime: 'kserve-sklearnserver' }));
    fireEvent.click(screen.getByRole('radio', { name: 'Automatic' }));
    await waitFor(() => expect(last().config).toEqual({}));
    expect(harness.server.asked).toContain('GET api/runtimes?target=kserve');
  });

  it('tells the cluster’s stages, the bytes on their way, and why it failed', async () => {
    const upload = 'The model is being sent to the cluster’s store: 1.2 of 4.8 MB.';
    const sending = service('tumour-model', {
      target: 'kserve',
      namespace: 'kubeflow-user',
      state: 'Pending',
      ready_revision: null,
      sentence: 'The model is on its way.',
      stages: stages(
        ['package', 'done', null],
        ['store', 'running', null, upload],
        ['create', 'waiting', null]
      )
    });
    harness.serving({ status: 202, body: sending });
    await stored();
    await toCluster();
    await serve();
    expect(await screen.findByText(upload)).toBeVisible();
    expect(stageStates()).toEqual([
      'package done',
      'store running',
      'create waiting',
      'schedule waiting',
      'load waiting',
      'predict waiting',
      'ready waiting'
    ]);
    const failed = {
      ...sending,
      state: 'Failed',
      sentence: 'No node has 16 GiB free.',
      next_step: 'Lower limits.memory.',
      stages: stages(
        ['store', 'done', 2],
        ['create', 'done', 1],
        ['schedule', 'failed', null, 'No node has 16 GiB free.']
      )
    };
    harness.server.answer('GET api/services/tumour-model', { body: failed });
    harness.server.emit({
      seq: 2,
      kind: 'service',
      name: 'tumour-model',
      namespace: 'kubeflow-user',
      target: 'kserve',
      revision: 1,
      state: 'Failed',
      deleted: false
    });
    expect(await screen.findByRole('alert')).toHaveTextContent(
      'No node has 16 GiB free.Lower limits.memory.'
    );
    expect(stageStates()).toContain('schedule failed');
  });
});
