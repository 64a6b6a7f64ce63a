import React, { useState } from 'react';

import type { IArtifact } from '../api';
import { CommandIDs } from '../tokens';
import { ExecutableMark, FormatMark } from '../ui/FormatMark';
import { ago, frameworkName, size } from '../ui/words';
import type { IMenuEntry, IPanelProps } from './panelprops';
import { RowMenu } from './RowMenu';

export interface IModelRowProps extends IPanelProps {
  /** Artifacts of one name, newest first. */
  versions: readonly IArtifact[];
  selected: number | null;
  now: number;
}

/** One artifact by name: its newest version, the older ones at a click. */
export function ModelRow(props: IModelRowProps): JSX.Element {
  const { versions, trans } = props;
  const [open, setOpen] = useState(false);
  const [newest, ...older] = versions;
  const selected = versions.some(version => version.id === props.selected);
  return (
    <li className={selected ? 'jp-KaleServe-item jp-mod-selected' : 'jp-KaleServe-item'}>
      <VersionLine {...props} artifact={newest} title={newest.name} />
      <p className="jp-KaleServe-sub">
        {describe(newest, props)} <ExecutableMark artifact={newest} trans={trans} />
        {older.length > 0 && (
          <>
            {' · '}
            <button
              type="button"
              className="jp-KaleServe-link"
              aria-expanded={open}
              aria-label={trans.__('%1 versions of %2', versions.length, newest.name)}
              onClick={() => setOpen(!open)}
            >
              {trans._n('%1 version', '%1 versions', versions.length, versions.length)}
            </button>
          </>
        )}
      </p>
      {open && (
        <ul className="jp-KaleServe-list jp-KaleServe-versions">
          {older.map(artifact => (
            <li key={artifact.id}>
              <VersionLine {...props} artifact={artifact} title={artifact.version ?? String(artifact.id)} />
              <p className="jp-KaleServe-sub">{ago(artifact.created_at, props.now, trans)}</p>
            </li>
          ))}
        </ul>
      )}
    </li>
  );
}

interface IVersionLineProps extends IModelRowProps {
  artifact: IArtifact;
  title: string;
}

function VersionLine({
  artifact,
  title,
  model,
  commands,
  trans,
  openMenu,
  selected
}: IVersionLineProps): JSX.Element {
  const label = labelOf(artifact);
  const canServe = artifact.type.endsWith('.Model') && commands.hasCommand(CommandIDs.serveArtifact);
  const entries = artifactEntries(artifact, canServe);
  return (
    <div
      className="jp-KaleServe-line"
      onContextMenu={event => {
        event.preventDefault();
        event.stopPropagation();
        openMenu(entries, event.clientX, event.clientY);
      }}
    >
      {title === artifact.name && <FormatMark artifact={artifact} />}
      <button
        type="button"
        className="jp-KaleServe-name"
        aria-pressed={artifact.id === selected}
        title={trans.__('Show the lineage of %1', label)}
        onClick={() => model.select({ artifact: artifact.id, label })}
      >
        {title}
      </button>
      <span className="jp-KaleServe-grow" />
      {canServe && (
        <button
          type="button"
          className="jp-KaleServe-button"
          aria-label={trans.__('Serve %1', label)}
          onClick={() => void commands.execute(CommandIDs.serveArtifact, { id: artifact.id })}
        >
          {trans.__('Serve')}
        </button>
      )}
      <RowMenu label={trans.__('What can be done with %1', label)} entries={entries} openMenu={openMenu} />
    </div>
  );
}

function labelOf(artifact: IArtifact): string {
  return [artifact.name, artifact.version].filter(Boolean).join(' ');
}

function describe(artifact: IArtifact, { trans, now }: IModelRowProps): string {
  const stage = artifact.tags['stage'];
  return [
    artifact.version,
    artifact.framework ? frameworkName(artifact.framework) : null,
    artifact.size ? size(artifact.size) : null,
    ago(artifact.created_at, now, trans),
    stage ? trans.__('stage: %1', stage) : null
  ]
    .filter(Boolean)
    .join(' · ');
}

function artifactEntries(artifact: IArtifact, canServe: boolean): IMenuEntry[] {
  const entries: IMenuEntry[] = canServe
    ? [{ command: CommandIDs.serveArtifact, args: { id: artifact.id } }]
    : [];
  return [
    ...entries,
    { command: CommandIDs.showLineage, args: { id: artifact.id, label: labelOf(artifact) } },
    'separator',
    { command: CommandIDs.deleteArtifact, args: { id: artifact.id, label: labelOf(artifact) } }
  ];
}
