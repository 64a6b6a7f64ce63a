import { PromiseDelegate } from '@lumino/coreutils';
import { act, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';

import { service } from '../../__tests__/fixtures';
import { FakeKernel, replied } from '../../__tests__/kernel';
import type { IFinding } from '../../api';
import { FOUND, Harness, found, serve, stages, stageStates } from './harness';

const REFUSED: IFinding = {
  code: 'PreflightFailed',
  severity: 'error',
  field: 'model',
  message: 'tumour-model was made with a Python that is gone.',
  fix: 'Submit the model anew.'
};

describe('the serve form', () => {
  let harness: Harness;

  beforeEach(() => {
    harness = new Harness();
  });

  afterEach(() => harness.model.dispose());

  it('is filled in, and the keyboard is on it', async () => {
    await harness.open();
    const choice = await screen.findByRole('combobox', { name: 'Model' });
    await waitFor(() => expect(choice).toHaveFocus());
    expect(screen.getByRole('combobox', { name: 'Model' })).toHaveDisplayValue(`model · ${FOUND.summary}`);
    expect(screen.getByRole('textbox', { name: 'Name' })).toHaveValue('tumour-model');
    expect(screen.getByRole('textbox', { name: 'Version' })).toHaveValue('1.0.0');
    expect(screen.getByRole('textbox', { name: 'Endpoint name' })).toHaveValue('tumour-model');
    expect(screen.getByRole('combobox', { name: 'Sample' })).toHaveValue('X_train');
    expect(screen.getByRole('button', { name: 'Serve' })).toBeEnabled();
  });

  it('says what to do where there is no model, and looks again', async () => {
    harness.kernel.reply = () => Promise.resolve(found());
    await harness.open();
    expect(await screen.findByText(/No model was found/)).toBeVisible();
    harness.kernel.reply = () => Promise.resolve(found({}));
    await userEvent.click(screen.getByRole('button', { name: 'Look again' }));
    expect(await screen.findByRole('textbox', { name: 'Name' })).toBeVisible();
  });

  it('says that it waits for a cell', async () => {
    harness.kernel = new FakeKernel({ subshells: false });
    harness.kernel.status = 'busy';
    const answer = new PromiseDelegate<ReturnType<typeof found>>();
    harness.kernel.reply = () => answer.promise;
    await harness.open();
    expect(screen.getByRole('status')).toHaveTextContent('The kernel is busy with a cell.');
    answer.resolve(found({}));
    expect(await screen.findByRole('textbox', { name: 'Name' })).toBeVisible();
  });

  it('says why the kernel could not be asked', async () => {
    harness.kernel.replace(null);
    await harness.open();
    expect(await screen.findByRole('alert')).toHaveTextContent('no running kernel');
    expect(screen.getByRole('button', { name: 'Try again' })).toBeVisible();
  });

  it('proposes the next free version, and leaves a typed one with a remark', async () => {
    const next = { name: 'tumour-model', versions: ['1.0.0'], next: '1.0.1' };
    harness.server.answer('GET api/next_version', { body: next });
    await harness.open();
    const version = await screen.findByRole('textbox', { name: 'Version' });
    await waitFor(() => expect(version).toHaveValue('1.0.1'));
    await userEvent.clear(version);
    await userEvent.type(version, '1.0.0');
    expect(version).toHaveAccessibleDescription(/1.0.0 exists.*1.0.1 is free/);
    expect(screen.getByRole('button', { name: 'Serve' })).toBeEnabled();
  });

  it('makes the next revision where the model is served already, or a new endpoint under a free name', async () => {
    harness.server.answer('GET api/services', { body: { seq: 1, items: [service('tumour-model')] } });
    await harness.open();
    expect(await screen.findByRole('radio', { name: 'the next revision of one' })).toBeChecked();
    expect(screen.getByRole('combobox', { name: 'Next revision of' })).toHaveValue('tumour-model');
    await userEvent.click(screen.getByRole('radio', { name: 'a new one' }));
    const name = screen.getByRole('textbox', { name: 'Endpoint name' });
    expect(name).toHaveValue('tumour-model-2');
    await userEvent.clear(name);
    await userEvent.type(name, 'tumour-model');
    expect(name).toHaveAccessibleDescription(/is there already/);
    expect(screen.getByRole('button', { name: 'Serve' })).toBeDisabled();
  });

  it('shows what the server finds beside its field, before anything is sent', async () => {
    const finding = { code: 'x', severity: 'error', field: 'name', message: 'That name is kept.', fix: null };
    harness.server.answer('POST api/services', { body: { findings: [finding], service: null } });
    await harness.open();
    const name = await screen.findByRole('textbox', { name: 'Endpoint name' });
    await waitFor(() => expect(name).toHaveAccessibleDescription('That name is kept.'));
    expect(name).toBeInvalid();
    expect(screen.getByRole('button', { name: 'Serve' })).toBeDisabled();
  });

  it('shows the stages with their times, and opens the endpoint when it is ready', async () => {
    const loading = service('tumour-model', {
      state: 'Loading',
      ready_revision: null,
      sentence: 'tumour-model loads.',
      stages: stages(['create', 'done', 0.1], ['load', 'running', 1.26], ['ready', 'waiting', null])
    });
    harness.serving({ status: 202, body: loading });
    await harness.open();
    await serve();
    expect(await screen.findByText('tumour-model loads.')).toBeVisible();
    expect(stageStates()).toEqual([
      'package done',
      'check done',
      'store done',
      'create done',
      'load running',
      'predict waiting',
      'ready waiting'
    ]);
    for (const time of ['0.3 s', '0.5 s', '20 ms', '1.3 s']) {
      expect(screen.getByText(time)).toBeVisible();
    }
    harness.server.answer('GET api/services/tumour-model', { body: service('tumour-model') });
    act(() =>
      harness.server.emit({
        seq: 2,
        kind: 'service',
        name: 'tumour-model',
        revision: 1,
        state: 'Ready',
        deleted: false
      })
    );
    await waitFor(() => expect(harness.done.map(({ name }) => name)).toEqual(['tumour-model']));
  });

  it('leaves a failure at its stage, with the log and the next step', async () => {
    const failed = service('tumour-model', {
      state: 'Failed',
      ready_revision: null,
      stages: stages(['create', 'done', 0.1], ['load', 'failed', 2]),
      error: {
        code: 'ModelLoadFailed',
        message: 'The model could not be loaded.',
        hint: 'Install xgboost 3.1.',
        details: { log_tail: ['XGBoostError: unknown version'] }
      }
    });
    harness.serving({ status: 202, body: failed });
    await harness.open();
    harness.server.answer('GET api/services', { body: { seq: 2, items: [failed] } });
    harness.server.answer('GET api/services/tumour-model', { body: failed });
    await serve();
    const alert = await screen.findByRole('alert');
    expect(alert).toHaveTextContent('The model could not be loaded.');
    expect(alert).toHaveTextContent('Install xgboost 3.1.');
    expect(screen.getByText('XGBoostError: unknown version')).toBeVisible();
    expect(stageStates()).toContain('load failed');
    expect(stageStates()).toContain('ready waiting');
    await userEvent.click(screen.getByRole('button', { name: 'Back to the form' }));
    expect(screen.getByRole('radio', { name: 'the next revision of one' })).toBeChecked();
    expect(harness.done).toEqual([]);
  });

  it('says at its stage why submitting failed where no field can mend it', async () => {
    const error = { code: 'StoreFull', message: 'The disk is full.', hint: 'Delete artifacts.' };
    harness.kernel.reply = expression =>
      Promise.resolve(expression.includes('.submit(') ? replied({ error }) : found({}));
    await harness.open();
    await serve();
    expect(await screen.findByRole('alert')).toHaveTextContent('The disk is full.Delete artifacts.');
    expect(stageStates()[0]).toBe('package failed');
    expect(screen.getByText('Nothing was served.')).toBeVisible();
    await userEvent.click(screen.getByRole('button', { name: 'Back to the form' }));
    expect(screen.getByRole('textbox', { name: 'Name' })).toHaveValue('tumour-model');
  });

  it('says beside the version that it is taken, until it is changed', async () => {
    const error = { code: 'VersionExists', message: '1.0.0 is another model.', hint: 'Take 1.0.1.' };
    harness.kernel.reply = expression =>
      Promise.resolve(expression.includes('.submit(') ? replied({ error }) : found({}));
    await harness.open();
    await serve();
    const version = await screen.findByRole('textbox', { name: 'Version' });
    expect(version).toHaveAccessibleDescription('1.0.0 is another model. Take 1.0.1.');
    await waitFor(() => expect(version).toHaveFocus());
    expect(screen.getByRole('button', { name: 'Serve' })).toBeEnabled();
    await userEvent.type(version, '1');
    expect(version).not.toBeInvalid();
  });

  it('says beside the field what preflight finds only once it has the model', async () => {
    const error = {
      code: 'PreflightFailed',
      message: 'It would not start.',
      details: { findings: [REFUSED] }
    };
    harness.serving({ status: 422, body: { error } }, []);
    await harness.open();
    await serve();
    const choice = await screen.findByRole('combobox', { name: 'Model' });
    await waitFor(() => expect(choice).toHaveAccessibleDescription(`${REFUSED.message} ${REFUSED.fix}`));
  });

  it('keeps the version that was submitted when serving it was refused', async () => {
    const error = {
      code: 'PreflightFailed',
      message: 'It would not start.',
      details: { findings: [REFUSED] }
    };
    harness.serving({ status: 422, body: { error } });
    await harness.open();
    const next = { name: 'tumour-model', versions: ['1.0.0'], next: '1.0.1' };
    await screen.findByRole('textbox', { name: 'Version' });
    await waitFor(() => expect(harness.server.asked.some(call => call.includes('next_version'))).toBe(true));
    harness.server.answer('GET api/next_version', { body: next });
    await serve();
    const version = await screen.findByRole('textbox', { name: 'Version' });
    await waitFor(() => expect(version).toHaveAccessibleDescription(/1.0.0 exists/));
    expect(version).toHaveValue('1.0.0');
  });

  it('tells the warnings of a model that was only in the kernel while it is served', async () => {
    const warning = { ...REFUSED, severity: 'warning', message: 'joblib runs code when loaded.', fix: null };
    const loading = service('tumour-model', { state: 'Loading', ready_revision: null });
    harness.serving({ status: 202, body: loading }, [warning]);
    await harness.open();
    await serve();
    expect(await screen.findByText('joblib runs code when loaded.')).toBeVisible();
  });
});
