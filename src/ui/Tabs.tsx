import React, { useId, useRef } from 'react';

export interface ITab<T extends string> {
  id: T;
  label: string;
}

export interface ITabsProps<T extends string> {
  label: string;
  tabs: readonly ITab<T>[];
  selected: T;
  onSelect: (id: T) => void;
  children: React.ReactNode;
}

/** Tabs after the ARIA pattern: one stop for Tab, the arrow keys move between them. */
export function Tabs<T extends string>(props: ITabsProps<T>): JSX.Element {
  const { tabs, selected, onSelect } = props;
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const at = tabs.findIndex(tab => tab.id === selected);
    const isBackward = getComputedStyle(event.currentTarget).direction === 'rtl';
    const steps: { [key: string]: number } = {
      ArrowRight: isBackward ? at - 1 : at + 1,
      ArrowLeft: isBackward ? at + 1 : at - 1,
      Home: 0,
      End: tabs.length - 1
    };
    const next = steps[event.key];
    if (next === undefined) {
      return;
    }
    event.preventDefault();
    const target = (next + tabs.length) % tabs.length;
    onSelect(tabs[target].id);
    list.current?.querySelectorAll<HTMLElement>('[role="tab"]')[target]?.focus();
  };
  return (
    <>
      <div
        ref={list}
        className="jp-KaleServe-tabs"
        role="tablist"
        aria-label={props.label}
        onKeyDown={onKeyDown}
      >
        {tabs.map(tab => (
          <button
            key={tab.id}
            type="button"
            role="tab"
            id={`${id}-${tab.id}`}
            aria-selected={tab.id === selected}
            aria-controls={`${id}-panel`}
            tabIndex={tab.id === selected ? 0 : -1}
            onClick={() => onSelect(tab.id)}
          >
            {tab.label}
          </button>
        ))}
      </div>
      <div
        id={`${id}-panel`}
        className="jp-KaleServe-tabPanel"
        role="tabpanel"
        aria-labelledby={`${id}-${selected}`}
      >
        {props.children}
      </div>
    </>
  );
}
