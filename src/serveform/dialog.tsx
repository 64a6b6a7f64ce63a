import { Dialog, ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import type { IService } from '../api';
import type { ServeFlow } from './flow';
import { ServePanel } from './ServePanel';

/**
 * A dialog whose buttons are its body's own. Dialog itself answers Enter and a click outside: here Enter belongs
 * to the form, and a stray click must not throw away what was typed.
 */
class FormDialog extends Dialog<void> {
  protected override _evtKeydown(event: KeyboardEvent): void {
    if (event.key === 'Escape') {
      super._evtKeydown(event);
    }
  }

  protected override _evtClick(event: MouseEvent): void {
    if (event.target !== this.node) {
      super._evtClick(event);
    }
  }
}

class ServeBody extends ReactWidget {
  constructor(flow: ServeFlow, trans: TranslationBundle, finish: (service: IService | null) => void) {
    super();
    this.addClass('jp-KaleServe');
    this.addClass('jp-KaleServe-dialogBody');
    this._flow = flow;
    this._trans = trans;
    this._finish = finish;
  }

  protected override render(): JSX.Element {
    return (
      <ServePanel
        flow={this._flow}
        onDone={service => this._finish(service)}
        onCancel={() => this._finish(null)}
        trans={this._trans}
      />
    );
  }

  private readonly _flow: ServeFlow;
  private readonly _trans: TranslationBundle;
  private readonly _finish: (service: IService | null) => void;
}

/** Show the serve form; resolves with the endpoint when it is ready (or asked for), with null when it was closed. */
export async function showServeDialog(
  flow: ServeFlow,
  title: string,
  trans: TranslationBundle
): Promise<IService | null> {
  let result: IService | null = null;
  const body = new ServeBody(flow, trans, service => {
    result = service;
    dialog.reject();
  });
  const dialog: FormDialog = new FormDialog({ title, body, buttons: [], hasClose: true });
  dialog.addClass('jp-KaleServe-dialog');
  dialog.node.ariaLabel = title;
  await dialog.launch();
  return result;
}
