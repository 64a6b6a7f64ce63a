import { MainAreaWidget, ReactWidget } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Message } from '@lumino/messaging';
import React from 'react';

import { keyText } from '../api';
import type { IServiceKey } from '../api';
import { kaleServeIcon } from '../icons';
import type { IKaleServeModel } from '../tokens';
import { EndpointView } from './EndpointView';

class EndpointBody extends ReactWidget {
  constructor(model: IKaleServeModel, endpoint: IServiceKey, trans: TranslationBundle) {
    super();
    this.addClass('jp-KaleServe');
    this.addClass('jp-KaleServe-main');
    this._model = model;
    this._endpoint = endpoint;
    this._trans = trans;
  }

  protected override render(): JSX.Element {
    return <EndpointView model={this._model} endpoint={this._endpoint} trans={this._trans} />;
  }

  protected override onAfterShow(msg: Message): void {
    super.onAfterShow(msg);
    this._model.addViewer();
  }

  protected override onBeforeHide(msg: Message): void {
    super.onBeforeHide(msg);
    this._model.removeViewer();
  }

  private readonly _model: IKaleServeModel;
  private readonly _endpoint: IServiceKey;
  private readonly _trans: TranslationBundle;
}

/** The panel of one endpoint in the main area. */
export class EndpointPanel extends MainAreaWidget<ReactWidget> {
  constructor(model: IKaleServeModel, endpoint: IServiceKey, trans: TranslationBundle) {
    super({ content: new EndpointBody(model, endpoint, trans) });
    this.endpoint = endpoint;
    this.id = `kale-serve-endpoint-${keyText(endpoint)}`;
    this.title.label = endpoint.name;
    this.title.caption = trans.__('Endpoint %1', endpoint.name);
    this.title.icon = kaleServeIcon;
    this.title.closable = true;
    this.toolbar.hide();
  }

  readonly endpoint: IServiceKey;
}
