import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget, listIcon } from '@jupyterlab/ui-components';
import React from 'react';

import type { IServiceKey } from '../api';
import type { IKaleServeModel } from '../tokens';
import { LogView } from './LogView';

/** An endpoint's log in the main area. */
export class LogPanel extends ReactWidget {
  constructor(options: LogPanel.IOptions) {
    super();
    this._options = options;
    this.addClass('jp-KaleServe');
    this.title.icon = listIcon;
    this.title.label = options.trans.__('Log of %1', options.serviceKey.name);
  }

  get serviceKey(): IServiceKey {
    return this._options.serviceKey;
  }

  protected override render(): JSX.Element {
    return <LogView {...this._options} />;
  }

  private readonly _options: LogPanel.IOptions;
}

export namespace LogPanel {
  export interface IOptions {
    model: IKaleServeModel;
    serviceKey: IServiceKey;
    trans: TranslationBundle;
  }
}
