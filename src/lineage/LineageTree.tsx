import type { TranslationBundle } from '@jupyterlab/translation';
import React, { useEffect, useMemo, useRef, useState } from 'react';

import type { ILineage, ILineageNode } from '../api';
import { nodeCaption, nodeTitle } from './describe';
import { mirror, parents, walk } from './mirror';
import type { ITreeItem } from './mirror';

export interface ILineageTreeProps {
  lineage: ILineage;
  root: string;
  trans: TranslationBundle;
  liveState: (node: ILineageNode) => string | null;
  /** The node that has the focus; null when the tree has lost it. */
  onFocus: (node: ILineageNode | null) => void;
  onActivate: (node: ILineageNode) => void;
}

/** The same lineage as the drawing, for the keyboard and for screen readers: arrow keys walk, Enter opens. */
export function LineageTree(props: ILineageTreeProps): JSX.Element | null {
  const { lineage, root, trans, onFocus, onActivate } = props;
  const tree = useMemo(() => mirror(lineage, root), [lineage, root]);
  const [current, setCurrent] = useState(root);
  const list = useRef<HTMLUListElement>(null);
  useEffect(() => setCurrent(root), [root]);
  if (!tree) {
    return null;
  }
  const items = walk(tree);
  const above = parents(tree);
  const at = Math.max(
    0,
    items.findIndex(item => item.id === current)
  );
  const go = (item: ITreeItem | undefined): void => {
    if (item) {
      setCurrent(item.id);
      const elements = list.current?.querySelectorAll<HTMLElement>('[role="treeitem"]') ?? [];
      elements[items.indexOf(item)]?.focus();
    }
  };
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const moves: { [key: string]: () => void } = {
      ArrowDown: () => go(items[at + 1]),
      ArrowUp: () => go(items[at - 1]),
      ArrowRight: () => go(items[at].children[0]),
      ArrowLeft: () => go(above.get(items[at].id)),
      Home: () => go(items[0]),
      End: () => go(items[items.length - 1]),
      Enter: () => onActivate(items[at].node)
    };
    const move = moves[event.key];
    if (move) {
      event.preventDefault();
      event.stopPropagation();
      move();
    }
  };
  return (
    <ul
      ref={list}
      role="tree"
      className="jp-KaleServe-tree"
      aria-label={trans.__('Lineage of %1', nodeTitle(tree.node))}
      onKeyDown={onKeyDown}
      onBlur={() => onFocus(null)}
    >
      <Item {...props} item={tree} current={items[at].id} />
    </ul>
  );
}

function Item(props: ILineageTreeProps & { item: ITreeItem; current: string }): JSX.Element {
  const { item, current, trans, liveState, onFocus } = props;
  const { node, children } = item;
  const relation = {
    root: trans.__('shown'),
    ancestor: trans.__('made from'),
    descendant: trans.__('goes into')
  }[item.relation];
  return (
    <li
      role="treeitem"
      tabIndex={item.id === current ? 0 : -1}
      aria-expanded={children.length > 0 ? true : undefined}
      aria-selected={item.relation === 'root'}
      aria-label={`${relation}: ${nodeTitle(node)}, ${nodeCaption(node, liveState(node), trans)}`}
      onFocus={event => {
        event.stopPropagation();
        onFocus(node);
      }}
    >
      {nodeTitle(node)}
      {children.length > 0 && (
        <ul role="group">
          {children.map(child => (
            <Item key={child.id} {...props} item={child} />
          ))}
        </ul>
      )}
    </li>
  );
}
