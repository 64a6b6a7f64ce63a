import { nullTranslator } from '@jupyterlab/translation';
import { act, fireEvent, render, screen, waitFor, within } from '@testing-library/react';
import React from 'react';

import { FakeServer } from '../../__tests__/server';
import type { IService } from '../../api';
import { clock } from '../../ui/words';
import { Addresses, Drift, Facts, PauseButton, Pods } from '../ClusterParts';
import { ObjectTab } from '../ObjectTab';
import { service } from './fixtures';

const trans = nullTranslator.load('kale_serve_lab');
const there = (change: Partial<IService> = {}): IService =>
  service({ target: 'kserve', namespace: 'team', ...change });

jest.setTimeout(60_000);

it('says of each pod where it is, how, and what ails it', () => {
  const pod = { component: 'predictor', revision: 3, pid: null, state: 'failed', restarts: 2 };
  const components = [{ ...pod, message: 'The bucket refused the key.', pod: 'tumour-0', node: 'node-1' }];
  render(<Pods service={there({ components })} trans={trans} />);
  const cells = within(screen.getAllByRole('row')[1]).getAllByRole('cell');
  expect(cells.map(cell => cell.textContent)).toEqual([
    'tumour-0',
    'node-1',
    'failed',
    '2',
    'The bucket refused the key.'
  ]);
});

it('tells what the cluster tells, when last and how often', () => {
  render(
    <Facts service={there({ facts: [{ what: 'No node fits.', when: 60_000, count: 7 }] })} trans={trans} />
  );
  expect(screen.getByRole('row', { name: `No node fits. ${clock(60_000)} 7` })).toBeVisible();
});

it('says of each address whether it works, and why not', () => {
  const address = {
    kind: 'external',
    url: 'http://a.example.com',
    host: null,
    works: false,
    why: 'No such name.'
  };
  const inside = { kind: 'in-cluster', url: 'http://a.team.svc', host: null, works: null, why: null };
  render(<Addresses service={there({ addresses: [address, inside] })} trans={trans} />);
  const rows = screen.getAllByRole('listitem');
  expect(rows[0]).toHaveTextContent('No such name.');
  expect(rows[1]).toHaveTextContent('not tried');
});

describe('what is changed on the cluster', () => {
  let server: FakeServer;
  let model: ReturnType<FakeServer['model']>;
  beforeEach(() => {
    server = new FakeServer();
    model = server.model();
  });
  afterEach(() => model.dispose());

  const drifted = there({ drift: ['spec.predictor.minReplicas'], config: { min_replicas: 1 } });

  it('takes back what others changed only after a yes', async () => {
    const sent: unknown[] = [];
    server.answer('POST api/services', body => {
      sent.push(body);
      return { status: 202, body: { ...drifted, drift: [], findings: [] } };
    });
    render(<Drift service={drifted} model={model} trans={trans} />);
    expect(screen.getByText('spec.predictor.minReplicas')).toBeVisible();
    for (const answer of ['Cancel', 'Take back']) {
      fireEvent.click(screen.getByText('Take back…'));
      const dialog = await screen.findByRole('dialog', { hidden: true });
      expect(sent).toEqual([]);
      await act(async () => {
        fireEvent.click(within(dialog).getByText(answer));
      });
      await waitFor(() => expect(document.querySelector('.jp-Dialog')).toBeNull());
    }
    await waitFor(() => expect(sent).toHaveLength(1));
    expect(sent[0]).toMatchObject({
      name: 'tumour',
      namespace: 'team',
      target: 'kserve',
      config: { min_replicas: 1 },
      overwrite: true,
      create_only: false
    });
  });

  it('offers nothing to take back of what others have made', () => {
    render(<Drift service={{ ...drifted, managed: false }} model={model} trans={trans} />);
    expect(screen.queryByRole('button')).toBeNull();
  });

  it('pauses, and resumes what is paused', async () => {
    for (const call of ['pause', 'resume']) {
      server.answer(`POST api/services/tumour/${call}`, { status: 202, body: there() });
    }
    const { rerender } = render(<PauseButton service={there()} model={model} trans={trans} />);
    fireEvent.click(screen.getByText('Pause'));
    await waitFor(() => expect(screen.getByText('Pause')).toBeEnabled());
    rerender(<PauseButton service={there({ paused: true })} model={model} trans={trans} />);
    fireEvent.click(screen.getByText('Resume'));
    await waitFor(() => expect(screen.getByText('Resume')).toBeEnabled());
    expect(server.asked).toEqual([
      'POST api/services/tumour/pause?namespace=team&target=kserve',
      'POST api/services/tumour/resume?namespace=team&target=kserve'
    ]);
  });

  it('shows the object as applied and as it is', async () => {
    const body = { applied: { a: 1 }, live: { a: 2 }, yaml: 'a: 1\n', live_yaml: 'a: 2\n', drift: ['a'] };
    server.answer('GET api/services/tumour/object', { body });
    render(<ObjectTab service={there()} client={server.client} trans={trans} />);
    expect(await screen.findByText('a: 1')).toBeVisible();
    fireEvent.click(screen.getByText('On the cluster'));
    expect(screen.getByText('a: 2')).toBeVisible();
  });
});
