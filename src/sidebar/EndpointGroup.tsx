import React, { useId, useState } from 'react';

import { keyText } from '../api';
import type { IRight } from '../api';
import { clock } from '../ui/words';
import { EndpointRow } from './EndpointRow';
import { firstOf } from './groups';
import type { IGroup } from './groups';
import type { IPanelProps } from './panelprops';

/** Rows that are drawn before somebody asks for more, and how many more at a time. */
export const ROWS = 100;

export interface IEndpointGroupProps extends IPanelProps {
  group: IGroup;
  /** Not where there is only this machine. */
  hasHead: boolean;
}

/** The endpoints of one place: its name, how it stands, and what may not be done there, each said once. */
export function EndpointGroup({ group, hasHead, ...props }: IEndpointGroupProps): JSX.Element {
  const { trans } = props;
  const id = useId();
  const [most, setMost] = useState(ROWS);
  const { services, target } = group;
  const shown = firstOf(services, most);
  const left = services.length - shown.length;
  const lacks = (target?.rights ?? []).filter(right => right.allowed === false);
  const title = group.isLocal ? trans.__('This machine') : (target?.title ?? group.key);
  return (
    <section aria-labelledby={hasHead ? id : undefined}>
      {hasHead && (
        <header className="jp-KaleServe-group">
          <h3 id={id} className="jp-KaleServe-groupTitle" title={title}>
            {title}
          </h3>
          {group.namespace && <p className="jp-KaleServe-sub">{trans.__('namespace %1', group.namespace)}</p>}
          {group.staleSince !== null ? (
            <p className="jp-KaleServe-groupStale" role="status" title={target?.reason ?? undefined}>
              {trans.__('Stale since %1', clock(group.staleSince))}
            </p>
          ) : (
            target &&
            !target.available && (
              <p className="jp-KaleServe-groupStale" role="status">
                {[target.reason, target.hint].filter(Boolean).join(' ')}
              </p>
            )
          )}
          {lacks.length > 0 && <Lacks {...props} rights={lacks} />}
          {services.length === 0 && <p className="jp-KaleServe-sub">{trans.__('No endpoints here yet.')}</p>}
        </header>
      )}
      <ul className="jp-KaleServe-list">
        {shown.map(service => (
          <EndpointRow key={keyText(service)} {...props} service={service} />
        ))}
      </ul>
      {left > 0 && (
        <p className="jp-KaleServe-note">
          <button type="button" className="jp-KaleServe-button" onClick={() => setMost(most + ROWS)}>
            {trans._n('Show %1 more', 'Show %1 more', Math.min(left, ROWS), Math.min(left, ROWS))}
          </button>{' '}
          <span className="jp-KaleServe-sub">
            {trans.__('%1 of %2 are shown', shown.length, services.length)}
          </span>
        </p>
      )}
    </section>
  );
}

function Lacks({ rights, trans }: IPanelProps & { rights: readonly IRight[] }): JSX.Element {
  return (
    <details className="jp-KaleServe-lacks">
      <summary>
        {trans._n('%1 right is missing', '%1 rights are missing', rights.length, rights.length)}
      </summary>
      <ul>
        {rights.map(right => (
          <li key={`${right.verb} ${right.resource}`}>
            <code>
              {right.verb} {right.resource}
            </code>{' '}
            {right.without}
          </li>
        ))}
      </ul>
    </details>
  );
}
