import React, { useEffect, useRef, useState } from 'react';

import type { IArtifact } from '../api';
import type { ArtifactType, IModelList } from '../tokens';
import { StateView } from '../ui/StateView';
import { useSignal } from '../ui/useSignal';
import { ModelRow } from './ModelRow';
import type { IPanelProps } from './panelprops';

/** Typing pauses this long before the server is asked, in milliseconds. */
const PAUSE = 200;

/** Artifacts by name, searchable and paged. */
export function ModelsSection(props: IPanelProps): JSX.Element {
  const { model, trans } = props;
  useSignal(model.modelsChanged);
  useSignal(model.selectionChanged);
  const kinds: readonly [ArtifactType, string][] = [
    ['kale.Model', trans.__('Models')],
    ['kale.Transformer', trans.__('Transformers')],
    ['kale.Dataset', trans.__('Datasets')]
  ];
  return (
    <>
      <div className="jp-KaleServe-search">
        <SearchBox {...props} />
        <select
          aria-label={trans.__('Kind of artifact')}
          value={model.artifactType}
          onChange={event => model.setArtifactType(event.currentTarget.value as ArtifactType)}
        >
          {kinds.map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
      </div>
      <StateView
        state={model.models}
        trans={trans}
        onRetry={() => void model.refresh()}
        empty={<Nothing {...props} />}
      >
        {list => <Found {...props} list={list} />}
      </StateView>
    </>
  );
}

function SearchBox({ model, trans }: IPanelProps): JSX.Element {
  const [text, setText] = useState(model.search);
  const timer = useRef<number | undefined>(undefined);
  useEffect(() => () => window.clearTimeout(timer.current), []);
  return (
    <input
      type="search"
      className="jp-KaleServe-input"
      aria-label={trans.__('Search artifacts')}
      placeholder={trans.__('Search…')}
      value={text}
      onChange={event => {
        const value = event.currentTarget.value;
        setText(value);
        window.clearTimeout(timer.current);
        timer.current = window.setTimeout(() => model.setSearch(value), PAUSE);
      }}
    />
  );
}

function Nothing({ model, trans }: IPanelProps): JSX.Element {
  switch (model.artifactType) {
    case 'kale.Model':
      return (
        <p>
          {trans.__(
            'Models that you submit or serve are kept here, each version as it was. Right-click the cell that trains one and choose “Serve this model”.'
          )}
        </p>
      );
    case 'kale.Transformer':
      return <p>{trans.__('Transformers prepare what a model is asked and shape what it answers.')}</p>;
    case 'kale.Dataset':
      return (
        <p>
          {trans.__(
            'Datasets that a notebook submits are kept here and linked to the models made from them.'
          )}
        </p>
      );
  }
}

function Found(props: IPanelProps & { list: IModelList }): JSX.Element {
  const { list, model, trans } = props;
  if (list.items.length === 0) {
    return (
      <p className="jp-KaleServe-note" role="status">
        {trans.__('Nothing matches “%1”.', model.search.trim())}
      </p>
    );
  }
  const now = Date.now();
  return (
    <>
      <ul className="jp-KaleServe-list">
        {byName(list.items).map(versions => (
          <ModelRow
            key={versions[0].name}
            {...props}
            versions={versions}
            selected={model.selection?.artifact ?? null}
            now={now}
          />
        ))}
      </ul>
      {list.hasMore && (
        <p className="jp-KaleServe-note">
          <button type="button" className="jp-KaleServe-button" onClick={() => void model.loadMoreModels()}>
            {trans.__('Show more (%1 of %2 shown)', list.items.length, list.total)}
          </button>
        </p>
      )}
    </>
  );
}

/** Artifacts of one name together, in the order of the newest of each. */
export function byName(items: readonly IArtifact[]): IArtifact[][] {
  const groups = new Map<string, IArtifact[]>();
  for (const item of items) {
    const group = groups.get(item.name);
    if (group) {
      group.push(item);
    } else {
      groups.set(item.name, [item]);
    }
  }
  return [...groups.values()];
}
