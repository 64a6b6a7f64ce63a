import { expect, test } from '@jupyterlab/galata';

import { notebook as content, TRAIN } from '../pages/content';
import { EndpointPage } from '../pages/endpoint';
import { look } from '../pages/look';
import { NotebookPage, SERVE } from '../pages/notebook';
import { ServeFormPage } from '../pages/serveform';

test('the form opens while a cell runs, and Escape closes it', async ({ page, tmpPath }) => {
  const file = `${tmpPath}/busy.ipynb`;
  await page.contents.uploadContent(
    content(TRAIN, 'import threading\ngo_on = threading.Event()\ngo_on.wait(60)'),
    'text',
    file
  );
  const notebook = new NotebookPage(page);
  await notebook.open(file);
  await page.notebook.runCell(0);
  await page.notebook.selectCells(1);
  // Not galata's runCell, which clicks on while it waits and would close the menu.
  await page.evaluate(() => {
    void window.jupyterapp.commands.execute('notebook:run-cell');
  });
  await notebook.choose('make_pipeline', SERVE);
  const form = new ServeFormPage(page);
  await expect(form.model).toHaveValue('model');
  await expect(form.sample).toHaveValue('X_train');
  await page.keyboard.press('Escape');
  await expect(form.root).toBeHidden();
  await page.kernel.shutdownAll();
});

test('a notebook without a model says what to do', async ({ page, tmpPath }) => {
  const file = `${tmpPath}/empty.ipynb`;
  await page.contents.uploadContent(content('x = 1'), 'text', file);
  const notebook = new NotebookPage(page);
  await notebook.open(file);
  await notebook.run();
  await notebook.choose('x = 1', SERVE);
  const form = new ServeFormPage(page);
  await expect(form.root.getByRole('status')).toContainText('No model was found');
  await form.root.getByRole('button', { name: 'Close' }).last().click();
  await expect(form.root).toBeHidden();
});

test('the keyboard alone serves and predicts, and the same call can be copied', async ({ page, tmpPath }) => {
  const file = `${tmpPath}/keys.ipynb`;
  await page.contents.uploadContent(content(TRAIN), 'text', file);
  const notebook = new NotebookPage(page);
  await notebook.open(file);
  await notebook.run();
  await notebook.choose('make_pipeline', SERVE);
  const form = new ServeFormPage(page);
  await form.endpointIsNew();
  const name = `keys-${Date.now() % 100000}`;
  await form.endpoint.fill(name);
  await form.endpoint.press('Enter');
  const endpoint = new EndpointPage(page, name);
  await expect(endpoint.predict).toBeEnabled();
  await endpoint.input.getByLabel('mean radius').fill('281');
  await expect(endpoint.input.getByText(/10 × above the largest value/)).toBeVisible();
  await page.keyboard.press('Control+Enter');
  await expect(endpoint.bars).toBeVisible();
  await look(page, 'playground-edited', `[id="kale-serve-endpoint-local/default/${name}"]`);
  await endpoint.tab('Consume');
  await expect(endpoint.code.first()).toContainText(`Endpoint("${name}")`);
  await expect(endpoint.code.nth(1)).toContainText('Authorization: Bearer $(cat');
  await look(page, 'consume', `[id="kale-serve-endpoint-local/default/${name}"]`);
});
