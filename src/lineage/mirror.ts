import type { ILineage, ILineageNode } from '../api';

/** A lineage as a tree, for the keyboard and for screen readers: the root, what it was made from, what was made from it. */
export interface ITreeItem {
  /** Unique in the tree; a node may be reached on several ways. */
  id: string;
  node: ILineageNode;
  relation: 'root' | 'ancestor' | 'descendant';
  children: ITreeItem[];
}

export function mirror(lineage: ILineage, root: string): ITreeItem | null {
  const nodes = new Map(lineage.nodes.map(node => [node.key, node]));
  const start = nodes.get(root);
  if (!start) {
    return null;
  }
  const branch = (
    relation: 'ancestor' | 'descendant',
    key: string,
    id: string,
    seen: Set<string>
  ): ITreeItem[] => {
    const items: ITreeItem[] = [];
    for (const edge of lineage.edges) {
      const [here, there] = relation === 'descendant' ? [edge.from, edge.to] : [edge.to, edge.from];
      const node = nodes.get(there);
      // A node that several ways lead to is told once.
      if (here !== key || !node || seen.has(there)) {
        continue;
      }
      seen.add(there);
      const item: ITreeItem = { id: `${id}/${relation}:${there}`, node, relation, children: [] };
      items.push(item);
    }
    for (const item of items) {
      item.children = branch(relation, item.node.key, item.id, seen);
    }
    return items;
  };
  return {
    id: root,
    node: start,
    relation: 'root',
    children: [
      ...branch('ancestor', root, root, new Set([root])),
      ...branch('descendant', root, root, new Set([root]))
    ]
  };
}

/** The tree's items from top to bottom, as the arrow keys walk them. */
export function walk(item: ITreeItem): ITreeItem[] {
  return [item, ...item.children.flatMap(walk)];
}

/** The item above in the tree, by its id. */
export function parents(item: ITreeItem): Map<string, ITreeItem> {
  const above = new Map<string, ITreeItem>();
  for (const each of walk(item)) {
    for (const child of each.children) {
      above.set(child.id, each);
    }
  }
  return above;
}
