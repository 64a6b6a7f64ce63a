import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useId } from 'react';

import type { FieldName, INote } from './checks';
import type { IServeValues } from './offer';

/** What every part of the form has. */
export interface IPartProps {
  values: IServeValues;
  notes: readonly INote[];
  set: (change: Partial<IServeValues>) => void;
  trans: TranslationBundle;
}

/** What an input says of its notes. */
export interface IDescribed {
  'aria-describedby'?: string;
  'aria-invalid'?: boolean;
}

interface IRowProps {
  label: string;
  /** The row's notes are those of this field. */
  field?: FieldName;
  notes?: readonly INote[];
}

export interface IFormRowProps extends IRowProps {
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
  const group = isGroup ? { role: 'radiogroup', 'aria-labelledby': `${id}-label`, ...described } : {};
  return (
    <div className="jp-KaleServe-row" {...group}>
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

interface IInputRowProps extends IRowProps {
  value: string;
  onChange: (value: string) => void;
  isShort?: boolean;
  /** What stands beside the input. */
  hint?: string | null;
}

/** A row with one line of text. */
export function TextRow({ value, onChange, isShort, hint, ...row }: IInputRowProps): JSX.Element {
  return (
    <FormRow {...row}>
      {(id, described) => (
        <>
          <input
            id={id}
            type="text"
            className={isShort ? 'jp-KaleServe-short' : undefined}
            spellCheck={false}
            {...described}
            value={value}
            onChange={event => onChange(event.target.value)}
          />
          {hint && <span className="jp-KaleServe-hint">{hint}</span>}
        </>
      )}
    </FormRow>
  );
}

export interface IOption {
  value: string;
  label: string;
}

/** A row with one of several choices. */
export function SelectRow({
  value,
  onChange,
  isShort,
  hint,
  options,
  ...row
}: IInputRowProps & { options: readonly IOption[] }): JSX.Element {
  return (
    <FormRow {...row}>
      {(id, described) => (
        <>
          <select
            id={id}
            className={isShort ? 'jp-KaleServe-short' : undefined}
            {...described}
            value={value}
            onChange={event => onChange(event.target.value)}
          >
            {options.map(option => (
              <option key={option.value} value={option.value}>
                {option.label}
              </option>
            ))}
          </select>
          {hint && <span className="jp-KaleServe-hint">{hint}</span>}
        </>
      )}
    </FormRow>
  );
}

interface ICheckRowProps extends IRowProps {
  isOn: boolean;
  isDisabled?: boolean;
  onChange: (isOn: boolean) => void;
  /** What is ticked. */
  text: string;
  hint?: string | null;
}

/** A row with something to tick. */
export function CheckRow(props: ICheckRowProps): JSX.Element {
  const { isOn, isDisabled, onChange, text, hint, label, field, notes = [] } = props;
  const id = useId();
  const own = notes.filter(note => field !== undefined && note.field === field);
  return (
    <div className="jp-KaleServe-row">
      <span className="jp-KaleServe-label">{label}</span>
      <div className="jp-KaleServe-control">
        <label className="jp-KaleServe-check" data-disabled={isDisabled}>
          <input
            type="checkbox"
            checked={isOn}
            disabled={isDisabled}
            aria-describedby={own.length > 0 ? `${id}-notes` : undefined}
            onChange={event => onChange(event.target.checked)}
          />
          {text}
        </label>
        {hint && <span className="jp-KaleServe-hint">{hint}</span>}
        {own.length > 0 && <Notes id={`${id}-notes`} notes={own} />}
      </div>
    </div>
  );
}

/** A row that only tells. */
export function TextOnlyRow({
  label,
  field,
  notes = [],
  children
}: IRowProps & { children: React.ReactNode }): JSX.Element {
  const own = notes.filter(note => field !== undefined && note.field === field);
  return (
    <div className="jp-KaleServe-row">
      <span className="jp-KaleServe-label">{label}</span>
      <div className="jp-KaleServe-control">
        {children}
        {own.length > 0 && <Notes notes={own} />}
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
          <span className="jp-KaleServe-noteMark" aria-hidden="true">
            {MARKS[note.severity]}
          </span>
          <span>
            {note.message}
            {note.fix && <span className="jp-KaleServe-hint"> {note.fix}</span>}
          </span>
        </li>
      ))}
    </ul>
  );
}
