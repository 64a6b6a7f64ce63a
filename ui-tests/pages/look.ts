import AxeBuilder from '@axe-core/playwright';
import { expect } from '@jupyterlab/galata';
import type { IJupyterLabPageFixture } from '@jupyterlab/galata';
import type { Page } from '@playwright/test';

/** Screenshots in both themes, kept as output and looked at by people; and axe on what is ours. */
export async function look(page: IJupyterLabPageFixture, name: string, root: string): Promise<void> {
  for (const theme of ['JupyterLab Dark', 'JupyterLab Light']) {
    await page.theme.setTheme(theme);
    const suffix = theme.endsWith('Dark') ? 'dark' : 'light';
    await page.screenshot({ path: `screenshots/${name}-${suffix}.png`, animations: 'disabled' });
    // JupyterLab's own toolbar buttons carry aria-pressed where axe allows none.
    const axe = new AxeBuilder({ page: page as unknown as Page }).include(root).exclude('.jp-ToolbarButtonComponent');
    const results = await axe.analyze();
    const found = results.violations.map(({ id, nodes }) => ({ id, nodes: nodes.map(node => node.html) }));
    expect(found, `axe, ${name}, ${theme}`).toEqual([]);
  }
}
