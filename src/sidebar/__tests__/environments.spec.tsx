import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { act, render, screen, waitFor } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import React from 'react';

import { service } from '../../__tests__/fixtures';
import { FakeServer } from '../../__tests__/server';
import type { ApiError, IMadeEnvironment } from '../../api';
import type { KaleServeModel } from '../../model/model';
import { CommandIDs } from '../../tokens';
import { EnvironmentsSection } from '../EnvironmentsSection';
import type { IPanelProps } from '../panelprops';

const MLSERVER: IMadeEnvironment = {
  name: 'b3a1',
  label: 'kserve-mlserver · sklearn',
  path: '/home/u/.cache/kale-serve/environments/b3a1',
  size: 712_000_000,
  created_at: Date.now(),
  requirements: ['mlserver==1.7.1'],
  packages: {},
  complete: true,
  used_by: []
};

describe('the environments', () => {
  let server: FakeServer;
  let model: KaleServeModel;
  let props: IPanelProps;
  let executed: [string, unknown][];

  beforeEach(() => {
    server = new FakeServer();
    model = server.model();
    executed = [];
    const commands = new CommandRegistry();
    commands.addCommand(CommandIDs.deleteEnvironment, {
      execute: args => void executed.push([CommandIDs.deleteEnvironment, args]),
      describedBy: { args: {} }
    });
    props = { model, commands, trans: nullTranslator.load('kale_serve_lab'), openMenu: () => undefined };
    server.answer('GET api/services', { body: { seq: 1, items: [] } });
    server.answer('GET api/artifacts', { body: { items: [], next_page_token: null, total: 0 } });
    server.answer('GET api/environments', { body: { items: [MLSERVER] } });
  });

  afterEach(() => model.dispose());

  it('says what they are for where there are none', async () => {
    server.answer('GET api/environments', { body: { items: [] } });
    render(<EnvironmentsSection {...props} />);
    expect(await screen.findByText(/an environment of its own here, made once and kept/)).toBeVisible();
  });

  it('says what each is for and how large, and asks before it is removed', async () => {
    render(<EnvironmentsSection {...props} />);
    expect(await screen.findByText('kserve-mlserver · sklearn')).toBeVisible();
    expect(screen.getByText('712 MB · just now · used by none')).toBeVisible();
    await userEvent.click(
      screen.getByRole('button', { name: 'Remove the environment kserve-mlserver · sklearn' })
    );
    expect(executed).toEqual([
      [CommandIDs.deleteEnvironment, { name: 'b3a1', label: 'kserve-mlserver · sklearn' }]
    ]);
  });

  it('says what runs in it', async () => {
    const used = { ...MLSERVER, used_by: ['tumour', 'iris'] };
    server.answer('GET api/environments', { body: { items: [used] } });
    render(<EnvironmentsSection {...props} />);
    expect(await screen.findByText(/used by tumour, iris$/)).toBeVisible();
  });

  it('says of one that died half-way that it is not complete', async () => {
    server.answer('GET api/environments', { body: { items: [{ ...MLSERVER, complete: false }] } });
    render(<EnvironmentsSection {...props} />);
    expect(await screen.findByText('712 MB · not complete · used by none')).toBeVisible();
  });

  it('is gone from the list once it is removed, and stays with the reason while it is used', async () => {
    render(<EnvironmentsSection {...props} />);
    await screen.findByText('kserve-mlserver · sklearn');
    const error = { code: 'Conflict', message: 'It is used by tumour.', hint: 'Remove tumour first.' };
    server.answer('DELETE api/environments/b3a1', { status: 409, body: { error } });
    const refused: ApiError = await model.environments.remove('b3a1').then(
      () => Promise.reject(new Error('removed')),
      reason => reason as ApiError
    );
    expect(refused.message).toBe('It is used by tumour.');
    expect(screen.getByText('kserve-mlserver · sklearn')).toBeVisible();
    server.answer('DELETE api/environments/b3a1', { status: 204, body: null });
    server.answer('GET api/environments', { body: { items: [] } });
    await act(() => model.environments.remove('b3a1'));
    expect(screen.queryByText('kserve-mlserver · sklearn')).toBeNull();
  });

  it('looks again when one that was being made is there', async () => {
    const making = service('tumour', {
      state: 'Loading',
      stages: [{ name: 'environment', state: 'running', message: null, seconds: 3 }]
    });
    server.answer('GET api/services', { body: { seq: 1, items: [making] } });
    server.answer('GET api/environments', { body: { items: [] } });
    render(<EnvironmentsSection {...props} />);
    await act(() => model.refresh());
    server.answer('GET api/environments', { body: { items: [MLSERVER] } });
    server.answer('GET api/services', { body: { seq: 2, items: [service('tumour')] } });
    await act(() => model.refresh());
    await waitFor(() => expect(screen.getByText('kserve-mlserver · sklearn')).toBeVisible());
  });
});
