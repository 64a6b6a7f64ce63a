import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useId } from 'react';

import type { ISignature } from '../api';
import { fieldsOf } from './fields';
import type { IField, IParsed } from './fields';
import { imageOf } from './image';
import { parseFields } from './input';
import { showValue } from './response';
import { problemText, remarkText, shapeText } from './words';

/** How many fields a long form shows before it is asked for all. */
export const FIRST_FIELDS = 8;

export interface IInputFormProps {
  signature: ISignature;
  texts: readonly string[];
  /** Which sample row the rest came from, for the line about the hidden fields. */
  sample: number | null;
  showAll: boolean;
  onShowAll: (showAll: boolean) => void;
  onText: (index: number, text: string) => void;
  trans: TranslationBundle;
}

/** One labelled input a column, with its range beside it. */
export function InputForm(props: IInputFormProps): JSX.Element {
  const { signature, texts, trans } = props;
  const fields = fieldsOf(signature);
  const parsed = parseFields(signature, texts);
  const isLong = fields.length > FIRST_FIELDS + 2;
  // A field that keeps the request from being sent is never hidden.
  const isShown = (index: number): boolean =>
    props.showAll || !isLong || index < FIRST_FIELDS || parsed[index].problem !== null;
  const hidden = fields.filter((_, index) => !isShown(index)).length;
  return (
    <div className="jp-KaleServe-fields">
      {fields.map((field, index) =>
        isShown(index) ? (
          <FieldRow
            key={field.name}
            field={field}
            text={texts[index] ?? ''}
            parsed={parsed[index]}
            onText={text => props.onText(index, text)}
            trans={trans}
          />
        ) : null
      )}
      {isLong && (
        <p className="jp-KaleServe-hint">
          {hidden > 0 && (
            <>
              {props.sample === null
                ? trans._n('%1 more column', '%1 more columns', hidden)
                : trans._n(
                    '%1 more column, filled from sample row %2',
                    '%1 more columns, filled from sample row %2',
                    hidden,
                    props.sample + 1
                  )}{' '}
              ·{' '}
            </>
          )}
          <button type="button" className="jp-KaleServe-link" onClick={() => props.onShowAll(!props.showAll)}>
            {props.showAll ? trans.__('show fewer') : trans.__('show all')}
          </button>
        </p>
      )}
    </div>
  );
}

interface IFieldRowProps {
  field: IField;
  text: string;
  parsed: IParsed;
  onText: (text: string) => void;
  trans: TranslationBundle;
}

function FieldRow({ field, text, parsed, onText, trans }: IFieldRowProps): JSX.Element {
  const id = useId();
  const note = parsed.problem
    ? problemText(parsed.problem, trans)
    : parsed.remark && remarkText(parsed.remark, trans);
  const range =
    field.min !== null && field.max !== null ? `${showValue(field.min)} – ${showValue(field.max)}` : '';
  const isTensor = field.kind === 'json';
  const hint = isTensor ? `${field.dtype} · ${shapeText(field.shape)}` : range || field.dtype;
  const image = isTensor && parsed.problem === null ? imageOf(parsed.value) : null;
  const shared = {
    id,
    'aria-describedby': `${id}-hint${note ? ` ${id}-note` : ''}`,
    'aria-invalid': parsed.problem !== null
  };
  const onChange = (
    event: React.ChangeEvent<HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement>
  ): void => onText(event.target.value);
  return (
    <div
      className="jp-KaleServe-field"
      data-problem={parsed.problem !== null}
      data-remark={parsed.remark !== null}
      data-kind={field.kind}
    >
      <label htmlFor={id}>{field.name}</label>
      <div>
        {field.choices.length > 0 ? (
          <select {...shared} value={text} onChange={onChange}>
            {(field.choices.includes(text) ? field.choices : [text, ...field.choices]).map(choice => (
              <option key={choice} value={choice}>
                {choice}
              </option>
            ))}
          </select>
        ) : isTensor || field.kind === 'text' ? (
          <textarea
            {...shared}
            className={isTensor ? 'jp-KaleServe-tensor' : undefined}
            rows={isTensor ? 7 : 2}
            spellCheck={false}
            value={text}
            onChange={onChange}
          />
        ) : (
          <input
            {...shared}
            type="text"
            inputMode="decimal"
            autoComplete="off"
            value={text}
            onChange={onChange}
          />
        )}
        {note && (
          <div id={`${id}-note`} className="jp-KaleServe-fieldNote">
            {note}
          </div>
        )}
      </div>
      <span id={`${id}-hint`} className="jp-KaleServe-hint jp-KaleServe-number">
        {hint}
      </span>
      {image && (
        <img
          className="jp-KaleServe-preview"
          src={image.url}
          alt={trans.__('%1 as a picture, %2 × %3', field.name, image.width, image.height)}
        />
      )}
    </div>
  );
}
