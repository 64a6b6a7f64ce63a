import type { TranslationBundle } from '@jupyterlab/translation';
import React, { memo, useState } from 'react';

import { keyOf } from '../api';
import type { IService } from '../api';
import { CommandIDs } from '../tokens';
import { Stages } from '../ui/Stages';
import { StateMark } from '../ui/StateMark';
import { protocolList, revisionWords, runtimeName, statusWord } from '../ui/words';
import type { IMenuEntry, IPanelProps } from './panelprops';
import { RowMenu } from './RowMenu';

export interface IEndpointRowProps extends IPanelProps {
  service: IService;
}

/** One endpoint: a line that says whether it is fine, and where it is not, why and what to do. */
export const EndpointRow = memo((props: IEndpointRowProps): JSX.Element => {
  const { service, commands, trans, openMenu } = props;
  const key = { ...keyOf(service) };
  const entries = endpointEntries(service);
  return (
    <li
      className="jp-KaleServe-item"
      onContextMenu={event => {
        event.preventDefault();
        event.stopPropagation();
        openMenu(entries, event.clientX, event.clientY);
      }}
    >
      <div className="jp-KaleServe-line">
        <StateMark state={service.state} />
        <button
          type="button"
          className="jp-KaleServe-name"
          title={trans.__('Open endpoint %1', service.name)}
          onClick={() => void commands.execute(CommandIDs.openEndpoint, key)}
        >
          {service.name}
        </button>
        <span className="jp-KaleServe-grow" />
        {!service.managed && (
          <span
            className="jp-KaleServe-foreign"
            title={trans.__('Somebody else has made it: it is shown, and never changed.')}
          >
            {trans.__('not by Kale')}
          </span>
        )}
        {service.state !== 'Ready' && <span className="jp-KaleServe-chip">{statusWord(service, trans)}</span>}
        <RowMenu
          label={trans.__('What can be done with endpoint %1', service.name)}
          entries={entries}
          openMenu={openMenu}
        />
      </div>
      {service.state === 'Failed' ? <Failure {...props} /> : <Summary {...props} />}
    </li>
  );
});

EndpointRow.displayName = 'EndpointRow';

function Summary({ service, trans }: IEndpointRowProps): JSX.Element {
  const parts = [
    service.state === 'Ready' ? statusWord(service, trans) : null,
    revisionWords(service, trans),
    service.model ? modelWords(service) : null,
    service.transformer ? trans.__('with %1', service.transformer.name) : null
  ];
  return (
    <>
      <p className="jp-KaleServe-sub" title={service.sentence}>
        {parts.filter(Boolean).join(' · ')}
      </p>
      <p className="jp-KaleServe-sub">{serverWords(service, trans)}</p>
    </>
  );
}

/** Which server answers, and what it speaks. */
function serverWords(service: IService, trans: TranslationBundle): string {
  return [runtimeName(service.runtime, trans), protocolList(service.protocols, trans)]
    .filter(Boolean)
    .join(' · ');
}

function modelWords(service: IService): string {
  const model = service.model;
  if (!model) {
    return '';
  }
  // The endpoint's name is mostly made from the model's: then only the version is news.
  return model.name === service.name
    ? (model.version ?? '')
    : [model.name, model.version].filter(Boolean).join(' ');
}

function Failure({ service, commands, trans }: IEndpointRowProps): JSX.Element {
  const [open, setOpen] = useState(false);
  const tail = service.error?.details?.log_tail ?? [];
  const step = service.next_step ?? service.error?.hint ?? null;
  return (
    <div className="jp-KaleServe-failure">
      <p role="alert">{service.sentence || service.error?.message}</p>
      {step && <p className="jp-KaleServe-sub">{step}</p>}
      <p className="jp-KaleServe-sub">
        {service.ready_revision !== null && <>{revisionWords(service, trans)} · </>}
        <button
          type="button"
          className="jp-KaleServe-link"
          aria-expanded={open}
          onClick={() => setOpen(!open)}
        >
          {trans.__('why?')}
        </button>
        {' · '}
        <button
          type="button"
          className="jp-KaleServe-link"
          aria-label={trans.__('logs of %1', service.name)}
          onClick={() => void commands.execute(CommandIDs.showLogs, { ...keyOf(service) })}
        >
          {trans.__('logs')}
        </button>
      </p>
      {open && (
        <div>
          <Stages stages={service.stages} trans={trans} />
          {tail.length > 0 && (
            <pre className="jp-KaleServe-logTail" tabIndex={0} aria-label={trans.__('Last lines of the log')}>
              {tail.join('\n')}
            </pre>
          )}
        </div>
      )}
    </div>
  );
}

function endpointEntries(service: IService): IMenuEntry[] {
  const key = { ...keyOf(service) };
  const entries: IMenuEntry[] = [
    { command: CommandIDs.openEndpoint, args: key },
    { command: CommandIDs.copyUrl, args: key },
    { command: CommandIDs.showLogs, args: key }
  ];
  if (service.model) {
    entries.push({ command: CommandIDs.showLineage, args: { id: service.model.id, label: label(service) } });
  }
  if (service.managed) {
    entries.push('separator', { command: CommandIDs.deleteEndpoint, args: key });
  }
  return entries;
}

function label(service: IService): string {
  return [service.model?.name, service.model?.version].filter(Boolean).join(' ');
}
