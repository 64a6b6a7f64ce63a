import { expect } from '@jupyterlab/galata';
import type { IJupyterLabPageFixture } from '@jupyterlab/galata';
import type { Locator } from '@playwright/test';

/** The cell menu's entry. */
export const SERVE = 'Serve this model';

/** An open notebook. */
export class NotebookPage {
  constructor(page: IJupyterLabPageFixture) {
    this.page = page;
  }

  readonly page: IJupyterLabPageFixture;

  async open(path: string): Promise<void> {
    await this.page.notebook.openByPath(path);
    await this.page.notebook.activate(path);
  }

  /** Run all cells; fails with the first traceback there is. */
  async run(): Promise<void> {
    await this.page.notebook.run();
    const errors = this.page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"] .ansi-red-fg');
    expect(await errors.allTextContents()).toEqual([]);
  }

  /** The code cell whose source has this text. */
  cell(text: string): Locator {
    return this.page.locator('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-CodeCell').filter({ hasText: text }).first();
  }

  /** Right-click the cell and choose an entry of its menu. */
  async choose(cellText: string, entry: string): Promise<void> {
    const cell = this.cell(cellText);
    await cell.scrollIntoViewIfNeeded();
    // The command is about the active cell; a right click that comes while the notebook still scrolls activates none.
    await cell.locator('.jp-InputPrompt').click();
    await expect(cell).toHaveClass(/jp-mod-active/);
    await cell.locator('.jp-InputArea-editor').click({ button: 'right' });
    const item = this.page.locator('.lm-Menu-item', { hasText: entry });
    await expect(item).not.toHaveClass(/lm-mod-disabled/);
    await item.click();
    await expect(this.page.locator('.jp-KaleServe-dialog')).toBeVisible();
  }

  /** Run code in the notebook's kernel without touching the notebook, and give what it prints. */
  async evaluate(code: string): Promise<string> {
    return this.page.evaluate(async source => {
      const widget = window.jupyterapp.shell.currentWidget as unknown as {
        sessionContext?: { session: { kernel: unknown } };
      };
      const tracked = [...window.jupyterapp.shell.widgets('main')].find(each => 'sessionContext' in each) as unknown as typeof widget;
      const kernel = (widget.sessionContext ?? tracked.sessionContext)?.session.kernel as {
        requestExecute(content: object): {
          onIOPub: (message: { header: { msg_type: string }; content: { text?: string } }) => void;
          done: Promise<{ content: { status: string; evalue?: string } }>;
        };
      };
      const future = kernel.requestExecute({ code: source, store_history: false });
      let text = '';
      future.onIOPub = message => {
        if (message.header.msg_type === 'stream') {
          text += message.content.text ?? '';
        }
      };
      const reply = await future.done;
      if (reply.content.status !== 'ok') {
        throw new Error(reply.content.evalue);
      }
      return text;
    }, code);
  }
}
