import { nullTranslator } from '@jupyterlab/translation';
import { act, render, screen, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import React from 'react';

import { artifact } from '../../__tests__/fixtures';
import { FakeKernel, replied } from '../../__tests__/kernel';
import { FakeServer } from '../../__tests__/server';
import type { IFinding, IService, IStage } from '../../api';
import { NotebookKernel } from '../../kernel';
import type { IFoundModel } from '../../kernel';
import { ServeFlow } from '../flow';
import type { Source } from '../flow';
import { ServePanel } from '../ServePanel';

const trans = nullTranslator.load('kale_serve_lab');

export const FOUND: IFoundModel = {
  variable: 'model',
  class_name: 'RandomForestClassifier',
  framework: 'sklearn',
  summary: 'RandomForestClassifier, fitted on X_train (455 x 30)',
  fitted: true,
  in_cell: true,
  name: 'tumour-model',
  version: '1.0.0',
  versions: [],
  sample: { variable: 'X_train', rows: 5, text: '5 rows of X_train, 30 named columns' },
  candidates: ['X_train', 'X_test'],
  problem: null
};

/** What a kernel with these models answers. */
export const found = (...models: Partial<IFoundModel>[]) =>
  replied({
    models: models.map(change => ({ ...FOUND, ...change })),
    transformers: [],
    session: null,
    error: null
  } as never);

export const SUBMITTED = replied({
  artifact: artifact(12),
  transformer: null,
  stages: [
    { name: 'package', seconds: 0.31 },
    { name: 'check', seconds: 0.5 },
    { name: 'store', seconds: 0.02 }
  ]
} as never);

export function stages(...states: [string, IStage['state'], number | null, string?][]): IStage[] {
  return states.map(([name, state, seconds, message]) => ({
    name,
    state,
    message: message ?? null,
    seconds
  }));
}

/** The serve form before a kernel and a server that answer what a test wants. */
export class Harness {
  readonly server = new FakeServer();
  readonly model = this.server.model();
  readonly done: IService[] = [];
  kernel = new FakeKernel();

  constructor() {
    this.kernel.reply = expression =>
      Promise.resolve(expression.includes('.submit(') ? SUBMITTED : found({}));
    const { server } = this;
    server.answer('GET api/kernel', { body: { sdk_path: '/sdk', version: '0.1.0' } });
    server.answer('GET api/services', { body: { seq: 1, items: [] } });
    server.answer('GET api/artifacts', { body: { items: [], next_page_token: null, total: 0 } });
    server.answer('GET api/next_version', { body: { name: 'tumour-model', versions: [], next: '1.0.0' } });
    server.answer('GET api/runtimes', { body: { items: [] } });
    server.answer('POST api/services', { body: { findings: [], service: null } });
  }

  async open(source?: Source): Promise<void> {
    await act(() => this.model.refresh());
    const kernel = new NotebookKernel(this.kernel.context, this.kernel.connector, this.server.client);
    render(
      <ServePanel
        flow={new ServeFlow(this.model, source ?? { kind: 'kernel', kernel, cellSource: 'model.fit(X)' })}
        onDone={accepted => this.done.push(accepted)}
        onCancel={() => undefined}
        trans={trans}
      />
    );
  }

  /** The preflight answers findings; serving itself answers this. */
  serving(answer: { status?: number; body: object }, findings: IFinding[] = []): void {
    this.server.answer('POST api/services', request =>
      (request as { dry_run?: boolean }).dry_run
        ? { body: { findings, service: null } }
        : { ...answer, body: { ...answer.body, findings } }
    );
  }
}

export const serve = async () => userEvent.click(await screen.findByRole('button', { name: 'Serve' }));

export const stageStates = () =>
  within(screen.getByRole('list', { name: 'Progress' }))
    .getAllByRole('listitem')
    .map(item => `${item.dataset['stage']} ${item.dataset['state']}`);
