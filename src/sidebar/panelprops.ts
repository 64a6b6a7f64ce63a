import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyJSONObject } from '@lumino/coreutils';

import type { IKaleServeModel } from '../tokens';

/** What every section of the side bar is given. */
export interface IPanelProps {
  model: IKaleServeModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
  /** Open a menu of commands below (or at) a place on the page. */
  openMenu: (items: readonly IMenuEntry[], x: number, y: number) => void;
}

/** A command with its arguments, or a line between groups. */
export type IMenuEntry = { command: string; args: ReadonlyJSONObject } | 'separator';
