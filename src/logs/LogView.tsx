import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'react';

import type { IServiceKey } from '../api';
import type { IKaleServeModel } from '../tokens';
import { useSignal } from '../ui/useSignal';
import { LogFollower } from './follow';

export interface ILogViewProps {
  model: IKaleServeModel;
  serviceKey: IServiceKey;
  trans: TranslationBundle;
}

/** An endpoint's log as it is written, one component or all. */
export function LogView({ model, serviceKey, trans }: ILogViewProps): JSX.Element {
  const [component, setComponent] = useState('');
  useSignal(model.servicesChanged);
  const service = model.service(serviceKey);
  const names = [...new Set((service?.components ?? []).map(each => each.component))];
  const { target, name, namespace } = serviceKey;
  // A new revision writes a new log.
  const revision = service?.revision ?? null;
  const follower = useMemo(
    () => new LogFollower(model.client, { target, name, namespace }, component ? { component } : {}),
    [model, target, name, namespace, component, revision]
  );
  useEffect(() => {
    void follower.run();
    return () => follower.dispose();
  }, [follower]);
  return (
    <div className="jp-KaleServe-logView">
      <div className="jp-KaleServe-line">
        <span className="jp-KaleServe-title">{name}</span>
        {names.length > 1 && (
          <select
            aria-label={trans.__('Component')}
            value={component}
            onChange={event => setComponent(event.currentTarget.value)}
          >
            <option value="">{trans.__('all components')}</option>
            {names.map(each => (
              <option key={each} value={each}>
                {each}
              </option>
            ))}
          </select>
        )}
        <span className="jp-KaleServe-grow" />
        <FollowNote follower={follower} trans={trans} />
      </div>
      <Lines follower={follower} label={trans.__('Log of %1', name)} trans={trans} />
    </div>
  );
}

function FollowNote({ follower, trans }: { follower: LogFollower; trans: TranslationBundle }): JSX.Element {
  useSignal(follower.changed);
  const state = follower.state;
  switch (state.kind) {
    case 'connecting':
      return (
        <span className="jp-KaleServe-sub" role="status">
          {trans.__('Asking for the log…')}
        </span>
      );
    case 'following':
      return (
        <span className="jp-KaleServe-sub" role="status">
          {trans.__('Following')}
        </span>
      );
    case 'ended':
      return (
        <span className="jp-KaleServe-sub" role="status">
          {trans.__('The log has ended.')}
        </span>
      );
    case 'interrupted':
      return (
        <span className="jp-KaleServe-sub" role="alert">
          {[state.error.message, state.error.hint].filter(Boolean).join(' ')}
        </span>
      );
  }
}

interface ILinesProps {
  follower: LogFollower;
  label: string;
  trans: TranslationBundle;
}

/** Stays at the end as long as the reader does. */
function Lines({ follower, label, trans }: ILinesProps): JSX.Element {
  useSignal(follower.changed);
  const box = useRef<HTMLPreElement>(null);
  const atEnd = useRef(true);
  useLayoutEffect(() => {
    if (box.current && atEnd.current) {
      box.current.scrollTop = box.current.scrollHeight;
    }
  });
  return (
    <pre
      ref={box}
      className="jp-KaleServe-log"
      role="log"
      aria-label={label}
      aria-live="off"
      tabIndex={0}
      onScroll={event => {
        const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
        atEnd.current = scrollHeight - scrollTop - clientHeight < 8;
      }}
    >
      {follower.dropped > 0 && `${trans.__('… %1 earlier lines', follower.dropped)}\n`}
      {follower.lines.length > 0 || follower.state.kind === 'connecting'
        ? follower.lines.join('\n')
        : trans.__('Nothing has been written yet.')}
    </pre>
  );
}
