import { expect } from '@jupyterlab/galata';
import type { Locator, Page } from '@playwright/test';

/** The dialog that asks what is to be served, and then shows how it goes. */
export class ServeFormPage {
  constructor(page: Page) {
    this.root = page.getByRole('dialog', { name: /^Serve a model/ });
    this.form = this.root.getByRole('form', { name: 'Serve this model' });
    this.model = this.form.getByLabel('Model', { exact: true });
    this.name = this.form.getByLabel('Name', { exact: true });
    this.version = this.form.getByLabel('Version');
    this.endpoint = this.form.getByLabel('Endpoint name');
    this.sample = this.form.getByLabel('Sample');
    this.transformer = this.form.getByLabel('Transformer');
    this.serve = this.form.getByRole('button', { name: 'Serve' });
    this.stages = this.root.getByRole('list', { name: 'Progress' });
    this.error = this.root.getByRole('alert');
    this.ticks = this.form.getByRole('list', { name: 'Preflight' });
    this.advanced = this.form.getByRole('button', { name: 'Advanced' });
    this.protocol = this.form.getByLabel('Protocol');
    this.where = this.form.getByRole('radiogroup', { name: 'Where' });
    this.resources = this.form.getByRole('button', { name: 'Resources' });
    this.yaml = this.form.getByRole('region', { name: 'YAML' });
    this.sentence = this.root.locator('.jp-KaleServe-sentence');
  }

  readonly root: Locator;
  readonly form: Locator;
  readonly model: Locator;
  readonly name: Locator;
  readonly version: Locator;
  readonly endpoint: Locator;
  readonly sample: Locator;
  readonly transformer: Locator;
  readonly serve: Locator;
  readonly stages: Locator;
  readonly error: Locator;
  readonly ticks: Locator;
  readonly advanced: Locator;
  readonly protocol: Locator;
  readonly where: Locator;
  readonly resources: Locator;
  readonly yaml: Locator;
  /** What is going on, once it is served. */
  readonly sentence: Locator;

  /** The form itself, or the object that it sends. */
  async tab(name: 'Form' | 'YAML'): Promise<void> {
    await this.form.getByRole('tab', { name }).click();
  }

  /** The list of a stage. */
  stage(name: string): Locator {
    return this.stages.locator(`[data-stage="${name}"]`);
  }

  /** A runtime's radio button, once the choice is open. */
  runtime(name: string): Locator {
    return this.form.getByRole('radio', { name, exact: true });
  }

  /** Where endpoints are there already, the form may propose the next revision of one. */
  async endpointIsNew(): Promise<void> {
    const isNew = this.form.getByRole('radio', { name: 'a new one' });
    // Which of the two the form begins with is known only once it has asked what is there.
    await expect(async () => {
      if (await isNew.isVisible()) {
        await isNew.check();
      }
      await expect(this.endpoint).toBeVisible({ timeout: 1000 });
    }).toPass();
  }
}
