import type { Locator, Page } from '@playwright/test';

/** An endpoint's panel in the main area; `place` is its target and namespace. */
export class EndpointPage {
  constructor(page: Page, name: string, place = 'local/default') {
    this.root = page.locator(`[id="kale-serve-endpoint-${place}/${name}"]`);
    this.state = this.root.locator('.jp-KaleServe-endpointHead').getByRole('status');
    this.input = this.root.getByRole('region', { name: 'Input' });
    this.answer = this.root.getByRole('region', { name: 'Answer', exact: true });
    this.predict = this.input.getByRole('button', { name: 'Predict' });
    this.sampleRow = this.input.getByRole('combobox', { name: 'Sample row' });
    this.bars = this.answer.getByRole('list', { name: 'Class probabilities' });
    this.table = this.answer.getByRole('region', { name: 'Answer as a table' });
    this.code = this.root.locator('pre.jp-KaleServe-code');
  }

  readonly root: Locator;
  readonly state: Locator;
  readonly input: Locator;
  readonly answer: Locator;
  readonly predict: Locator;
  readonly sampleRow: Locator;
  readonly bars: Locator;
  readonly table: Locator;
  readonly code: Locator;

  async tab(name: 'Overview' | 'Test' | 'Consume' | 'Logs' | 'YAML'): Promise<void> {
    await this.root.getByRole('tab', { name }).click();
  }

  /** The first row of the answer's table. */
  async values(): Promise<string[]> {
    return this.table.locator('tbody tr').first().locator('td').allTextContents();
  }
}
