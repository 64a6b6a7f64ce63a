import type { TranslationBundle } from '@jupyterlab/translation';

import type { ILineageNode } from '../api';
import { typeWord } from '../ui/words';

const ENDPOINT = 'kale.Endpoint';

export function isEndpoint(node: ILineageNode): boolean {
  return node.type === ENDPOINT;
}

/** The first line of a node's box. */
export function nodeTitle(node: ILineageNode): string {
  return [node.name || node.key, node.version].filter(Boolean).join(' ');
}

/** The second line: what it is and how it stands. */
export function nodeCaption(node: ILineageNode, state: string | null, trans: TranslationBundle): string {
  // "Live" is what every artifact is that has not been removed: no news.
  const known = state ?? (node.state === 'LIVE' ? null : node.state);
  return [typeWord(node.type, trans), known].filter(Boolean).join(' · ').toLowerCase();
}

/** Cut to what a box has room for; the whole text is in its title. */
export function shorten(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
