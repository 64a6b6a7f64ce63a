import React, { useId } from 'react';

import type { FieldName, INote } from './checks';
import { Notes } from './FormRow';

export interface IPairField {
  field: FieldName;
  /** What stands behind the input; `name` is the whole of it for those who do not see the row. */
  label: string;
  name: string;
  value: string;
  onChange: (value: string) => void;
}

export interface IPairRowProps {
  label: string;
  fields: readonly IPairField[];
  notes: readonly INote[];
  /** Fields without an input of their own whose notes are told here. */
  common?: readonly FieldName[];
}

/** Two short inputs that belong together, and below them what is to be said about either. */
export function PairRow({ label, fields, notes, common = [] }: IPairRowProps): JSX.Element {
  const id = useId();
  const of = (names: readonly FieldName[]): INote[] =>
    notes.filter(note => note.field !== null && names.includes(note.field));
  const shared = of(common);
  return (
    <div className="jp-KaleServe-row" role="group" aria-labelledby={`${id}-label`}>
      <span id={`${id}-label`} className="jp-KaleServe-label">
        {label}
      </span>
      <div className="jp-KaleServe-control">
        {fields.map(({ field, label: after, name, value, onChange }) => {
          const own = of([field]);
          return (
            <label key={field} className="jp-KaleServe-pair">
              <input
                type="text"
                aria-label={name}
                aria-describedby={own.length > 0 ? `${id}-${field}` : undefined}
                aria-invalid={own.some(note => note.severity === 'error') || undefined}
                spellCheck={false}
                value={value}
                onChange={event => onChange(event.target.value)}
              />
              <span className="jp-KaleServe-hint">{after}</span>
            </label>
          );
        })}
        {fields.map(({ field }) => {
          const own = of([field]);
          return own.length > 0 && <Notes key={field} id={`${id}-${field}`} notes={own} />;
        })}
        {shared.length > 0 && <Notes notes={shared} />}
      </div>
    </div>
  );
}
