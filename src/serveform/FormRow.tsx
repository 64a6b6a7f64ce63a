import React, { useId } from 'react';

import type { FieldName, INote } from './checks';

/** What an input says of its notes. */
export interface IDescribed {
  'aria-describedby'?: string;
  'aria-invalid'?: boolean;
}

export interface IFormRowProps {
  label: string;
  /** The row's notes are those of this field. */
  field?: FieldName;
  notes?: readonly INote[];
  /** A group (radio buttons) has its own legend and no single input to label. */
  isGroup?: boolean;
  children: (id: string, described: IDescribed) => React.ReactNode;
}

/** A label, its input, and below it what is to be said about the input. */
export function FormRow({ label, field, notes = [], isGroup, children }: IFormRowProps): JSX.Element {
  const id = useId();
  const own = notes.filter(note => field !== undefined && note.field === field);
  const described: IDescribed =
    own.length > 0
      ? { 'aria-describedby': `${id}-notes`, 'aria-invalid': own.some(note => note.severity === 'error') }
      : {};
  return (
    <div
      className="jp-KaleServe-row"
      role={isGroup ? 'radiogroup' : undefined}
      aria-labelledby={isGroup ? `${id}-label` : undefined}
    >
      {isGroup ? (
        <span id={`${id}-label`} className="jp-KaleServe-label">
          {label}
        </span>
      ) : (
        <label htmlFor={id} className="jp-KaleServe-label">
          {label}
        </label>
      )}
      <div className="jp-KaleServe-control">
        {children(id, described)}
        {own.length > 0 && <Notes id={`${id}-notes`} notes={own} />}
      </div>
    </div>
  );
}

const MARKS: { [severity in INote['severity']]: string } = { error: '✗', warning: '!', info: 'i' };

export function Notes({ id, notes }: { id?: string; notes: readonly INote[] }): JSX.Element {
  return (
    <ul id={id} className="jp-KaleServe-notes">
      {notes.map(note => (
        <li key={`${note.severity}${note.message}`} data-severity={note.severity}>
          <span aria-hidden="true">{MARKS[note.severity]} </span>
          {note.message}
          {note.fix && <span className="jp-KaleServe-hint"> {note.fix}</span>}
        </li>
      ))}
    </ul>
  );
}
