import { TextItem } from '@jupyterlab/statusbar';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import React from 'react';

import type { IService } from '../api';
import { dataOf } from '../model/state';
import { CommandIDs } from '../tokens';
import type { IKaleServeModel } from '../tokens';
import { useSignal } from '../ui/useSignal';

export interface IStatusItemProps {
  model: IKaleServeModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

/** One line in the status bar: is anything wrong, and how many endpoints answer. */
export function StatusItem({ model, commands, trans }: IStatusItemProps): JSX.Element {
  useSignal(model.servicesChanged);
  const services = dataOf(model.services) ?? [];
  const open = (): void => void commands.execute(CommandIDs.showSidebar);
  return (
    <span
      role="button"
      tabIndex={0}
      className="jp-KaleServe-status"
      onClick={open}
      onKeyDown={event => {
        if (event.key === 'Enter' || event.key === ' ') {
          event.preventDefault();
          open();
        }
      }}
    >
      <TextItem source={summary(services, trans)} title={trans.__('Show Kale Serve')} />
    </span>
  );
}

/** The worst first. */
export function summary(services: readonly IService[], trans: TranslationBundle): string {
  const failed = services.filter(service => service.state === 'Failed').length;
  const ready = services.filter(service => service.state === 'Ready').length;
  const other = services.length - failed - ready;
  const parts = [
    failed > 0 ? trans._n('%1 failed', '%1 failed', failed, failed) : null,
    other > 0 ? trans._n('%1 on its way', '%1 on their way', other, other) : null,
    ready > 0 ? trans._n('%1 ready', '%1 ready', ready, ready) : null
  ];
  return trans.__('Kale Serve: %1', parts.filter(Boolean).join(', ') || trans.__('no endpoints'));
}
