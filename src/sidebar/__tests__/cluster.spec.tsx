import { nullTranslator } from '@jupyterlab/translation';
import { CommandRegistry } from '@lumino/commands';
import { act, fireEvent, render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import React from 'react';

import { service, target } from '../../__tests__/fixtures';
import { FakeServer } from '../../__tests__/server';
import type { IService, ITarget } from '../../api';
import type { KaleServeModel } from '../../model/model';
import { CommandIDs } from '../../tokens';
import { clock } from '../../ui/words';
import { ROWS } from '../EndpointGroup';
import { EndpointsSection } from '../EndpointsSection';
import type { IMenuEntry, IPanelProps } from '../panelprops';

jest.setTimeout(60_000);

const TITLE = 'kubeflow-user / KServe 0.20';
const there = (name: string, change: Partial<IService> = {}): IService =>
  service(name, { target: 'kserve', namespace: 'kubeflow-user', ...change });

describe('endpoints of a cluster in the side bar', () => {
  let server: FakeServer;
  let model: KaleServeModel;
  let props: IPanelProps;
  let menus: (readonly IMenuEntry[])[];

  beforeEach(() => {
    server = new FakeServer();
    model = server.model();
    menus = [];
    const commands = new CommandRegistry();
    for (const id of Object.values(CommandIDs)) {
      commands.addCommand(id, { execute: () => undefined, describedBy: { args: {} } });
    }
    const trans = nullTranslator.load('kale_serve_lab');
    props = { model, commands, trans, openMenu: entries => menus.push(entries) };
    server.answer('GET api/artifacts', { body: { items: [], next_page_token: null, total: 0 } });
  });

  afterEach(() => model.dispose());

  const shown = async (items: IService[], cluster: Partial<ITarget> | null = {}) => {
    const targets = [target(), ...(cluster ? [target('kserve', cluster)] : [])];
    server.answer('GET api/services', { body: { seq: 1, items } });
    server.answer('GET api/targets', { body: { default: 'local', items: targets } });
    render(<EndpointsSection {...props} />);
    await act(() => model.refresh());
  };
  const group = (name: string) => screen.getByRole('region', { name });

  it('lists those of this machine and those of the cluster apart, also where both have one name', async () => {
    await shown([there('tumour'), service('tumour'), there('iris')]);
    expect(within(group('This machine')).getAllByRole('listitem')).toHaveLength(1);
    const cluster = within(group(TITLE));
    expect(cluster.getAllByRole('listitem')).toHaveLength(2);
    expect(cluster.getByText('namespace kubeflow-user')).toBeVisible();
  });

  it('has no heads where there is only this machine', async () => {
    await shown([service('tumour')], null);
    expect(screen.queryByRole('heading')).toBeNull();
    expect(screen.getByRole('button', { name: 'tumour' })).toBeVisible();
  });

  it('says since when a cluster is away, keeps what was seen, and takes it back', async () => {
    const since = new Date().setHours(10, 32, 0, 0);
    await shown([there('iris', { stale_since: since })], { available: false, stale_since: since });
    expect(screen.getByRole('status')).toHaveTextContent(`Stale since ${clock(since)}`);
    expect(screen.getByRole('button', { name: 'iris' })).toBeVisible();
    server.answer('GET api/services', { body: { seq: 2, items: [there('iris')] } });
    server.answer('GET api/targets', { body: { default: 'local', items: [target(), target('kserve')] } });
    await act(() => model.refresh());
    expect(screen.queryByRole('status')).toBeNull();
  });

  it('says why a cluster cannot be used although nothing is there', async () => {
    await shown([], { available: false, reason: 'The token has expired.', hint: 'Log in again.' });
    expect(within(group(TITLE)).getByRole('status')).toHaveTextContent(
      'The token has expired. Log in again.'
    );
  });

  it('says the rights that lack once', async () => {
    const right = {
      verb: 'get',
      resource: 'pods/log',
      allowed: false,
      needed: false,
      without: 'No logs are shown.'
    };
    await shown([there('a'), there('b')], { rights: [right, { ...right, verb: 'list', allowed: true }] });
    expect(screen.getByText('1 right is missing')).toBeVisible();
    expect(screen.getAllByText('get pods/log')).toHaveLength(1);
    expect(screen.getByText(/No logs are shown/)).toBeInTheDocument();
  });

  it('marks what others have made, and offers no removal of it', async () => {
    await shown([there('theirs', { managed: false, model: null }), there('ours')]);
    const row = screen.getByRole('button', { name: 'theirs' }).closest('li')!;
    expect(within(row).getByText('not by Kale')).toBeVisible();
    await userEvent.click(within(row).getByRole('button', { name: /What can be done/ }));
    expect(menus[0]).not.toContainEqual(expect.objectContaining({ command: CommandIDs.deleteEndpoint }));
    expect(screen.getAllByText('not by Kale')).toHaveLength(1);
  });

  it('says of a paused one that it is', async () => {
    await shown([there('iris', { paused: true, state: 'Pending' })]);
    expect(screen.getByText('Paused')).toBeVisible();
  });

  it('draws of 1,000 only so many rows, the failed among them, and more when asked', async () => {
    const items = Array.from({ length: 1000 }, (_, at) =>
      there(`s${String(at).padStart(4, '0')}`, at === 999 ? { state: 'Failed', sentence: 'No node.' } : {})
    );
    await shown(items);
    // By their titles: computing the roles and names of thousands of nodes is what takes long here.
    const rows = () => screen.getAllByTitle(/^Open endpoint s\d+$/);
    expect(rows()).toHaveLength(ROWS);
    expect(screen.getByTitle('Open endpoint s0999')).toBeInTheDocument();
    fireEvent.click(screen.getByText(`Show ${ROWS} more`));
    expect(rows()).toHaveLength(2 * ROWS);
  });
});
