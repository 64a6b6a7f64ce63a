import { ellipsesIcon } from '@jupyterlab/ui-components';
import React from 'react';

import type { IMenuEntry, IPanelProps } from './panelprops';

export interface IRowMenuProps extends Pick<IPanelProps, 'openMenu'> {
  label: string;
  entries: readonly IMenuEntry[];
}

/** The button at a row's end that opens its menu; a right click anywhere on the row does too. */
export function RowMenu({ label, entries, openMenu }: IRowMenuProps): JSX.Element {
  return (
    <button
      type="button"
      className="jp-KaleServe-iconButton"
      aria-haspopup="menu"
      aria-label={label}
      title={label}
      onClick={event => {
        const box = event.currentTarget.getBoundingClientRect();
        openMenu(entries, box.left, box.bottom);
      }}
    >
      <ellipsesIcon.react tag="span" width="14px" height="14px" />
    </button>
  );
}
