import path from 'path';

import { expect, test } from '@jupyterlab/galata';

import { EndpointPage } from '../pages/endpoint';
import { look } from '../pages/look';
import { NotebookPage, SERVE } from '../pages/notebook';
import { ServeFormPage } from '../pages/serveform';

const QUICKSTART = path.resolve(__dirname, '../../examples/quickstart.ipynb');

test('from the quickstart to a prediction that equals the notebook’s own', async ({ page, tmpPath }) => {
  const file = `${tmpPath}/quickstart.ipynb`;
  await page.contents.uploadFile(QUICKSTART, file);
  const notebook = new NotebookPage(page);
  await notebook.open(file);
  await notebook.run();

  await notebook.choose('.fit(', SERVE);
  const form = new ServeFormPage(page);
  await expect(form.form).toBeVisible();
  const variable = await form.model.inputValue();
  const sample = await form.sample.inputValue();
  await look(page, 'serve-form', '.jp-KaleServe-dialogBody');
  const name = `main-${Date.now() % 100000}`;
  await form.endpointIsNew();
  await form.endpoint.fill(name);
  await form.serve.click();

  const endpoint = new EndpointPage(page, name);
  await expect(endpoint.predict).toBeEnabled();
  await expect(endpoint.state).toContainText('Ready');
  await endpoint.sampleRow.selectOption('0');
  const answered = page.waitForResponse(/\/infer(\?|$)|:predict(\?|$)/);
  await endpoint.predict.press('Control+Enter');
  const answer = outputs(await (await answered).json());
  await expect(endpoint.table).toBeVisible();
  await look(page, 'playground', `[id="kale-serve-endpoint-local/default/${name}"]`);

  const own = JSON.parse(
    await notebook.evaluate(
      [
        'import json',
        `_row = ${sample}[:1]`,
        `_own = {"predict": ${variable}.predict(_row).tolist()}`,
        `if hasattr(${variable}, "predict_proba"): _own["predict_proba"] = ${variable}.predict_proba(_row).tolist()[0]`,
        'print(json.dumps(_own))'
      ].join('\n')
    )
  );
  // The numbers came over the wire as JSON, which keeps every bit of a double.
  expect(answer).toEqual(own);

  // A glance at the side bar: the endpoint is fine, its model and what it came from are there.
  await page.evaluate(async () => {
    await window.jupyterapp.commands.execute('kale-serve:show-sidebar');
  });
  const sidebar = page.locator('#kale-serve-sidebar');
  await expect(sidebar.locator('.jp-KaleServe-item', { hasText: name })).toContainText('Ready');
  await sidebar.getByRole('button', { name: /^random-forest-classifier/ }).first().click();
  await expect(sidebar.getByRole('tree', { name: /Lineage of/ }).getByRole('treeitem', { name: new RegExp(`${name} .*endpoint`) })).toBeAttached();
  await look(page, 'sidebar', '#kale-serve-sidebar');
});

/** Each output's elements by name, from either protocol. */
function outputs(json: {
  outputs?: { name: string; data: unknown[] }[];
  predictions?: unknown[];
}): { [name: string]: unknown } {
  if (Array.isArray(json.outputs)) {
    return Object.fromEntries(json.outputs.map(output => [output.name, output.data]));
  }
  const more = (json.outputs ?? {}) as { [name: string]: unknown[] };
  return { predict: json.predictions, ...Object.fromEntries(Object.entries(more).map(([name, rows]) => [name, rows[0]])) };
}
