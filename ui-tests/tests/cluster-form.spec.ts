import { expect, test } from '@jupyterlab/galata';
import type { IJupyterLabPageFixture } from '@jupyterlab/galata';

import { FakeCluster } from '../cluster';
import { notebook as content, TRAIN } from '../pages/content';
import { EndpointPage } from '../pages/endpoint';
import { look } from '../pages/look';
import { NotebookPage, SERVE } from '../pages/notebook';
import { ServeFormPage } from '../pages/serveform';

const BODY = '.jp-KaleServe-dialogBody';
const NARROW = { width: 300, height: 900 };

test.describe('serving to a cluster', () => {
  FakeCluster.needed();
  // On a loaded machine axe alone takes half a minute for a form.
  test.describe.configure({ timeout: 300_000 });
  let cluster: FakeCluster;
  test.beforeAll(async () => {
    cluster = await FakeCluster.start();
  });
  test.afterAll(async () => {
    await cluster.stop();
  });

  test('refuses wrong amounts at their fields, and shows the object as the form stands', async ({
    page,
    tmpPath
  }) => {
    const form = await open(page, `${tmpPath}/cluster.ipynb`);
    const there = form.where.getByRole('radio', { name: cluster.title });
    await there.check();
    const name = `iris-${Date.now() % 100000}`;
    await form.endpoint.fill(name);

    await form.resources.click();
    await form.form.getByLabel('CPU requested').fill('2');
    await form.form.getByLabel('CPU limit').fill('1');
    await expect(form.form.getByLabel('CPU requested')).toHaveAccessibleDescription(
      /More than the limit: 2 over 1/
    );
    await form.form.getByLabel('Memory limit').fill('much');
    await expect(form.serve).toBeDisabled();
    await look(page, 'cluster-form-amounts', BODY);
    await narrow(page, 'cluster-form-amounts-narrow');
    await form.form.getByLabel('CPU requested').fill('500m');
    await form.form.getByLabel('Memory limit').fill('512Mi');
    await expect(form.serve).toBeEnabled();

    await form.tab('YAML');
    await expect(form.yaml).toBeHidden();
    await form.form.getByRole('button', { name: 'Package the model' }).click();
    await expect(form.yaml).toContainText(`name: ${name}`);
    await expect(form.yaml).toContainText('storageUri: pvc://models/kale/');
    await expect(form.yaml).toContainText('cpu: 500m');
    await look(page, 'cluster-form-yaml', BODY);
    await narrow(page, 'cluster-form-yaml-narrow');
    await form.tab('Form');
    await form.form.getByLabel('Memory limit').fill('768Mi');
    await form.tab('YAML');
    await expect(form.yaml).toContainText('memory: 768Mi');
    await page.keyboard.press('Escape');
    await expect(form.root).toBeHidden();
  });

  test('tells the stages, until a prediction has come through', async ({ page, tmpPath }) => {
    const form = await open(page, `${tmpPath}/stages.ipynb`);
    await form.where.getByRole('radio', { name: cluster.title }).check();
    await form.endpointIsNew();
    const name = `stages-${Date.now() % 100000}`;
    await form.endpoint.fill(name);
    await form.serve.click();
    // KServe calls it ready; whether it answers is tried, and nobody stands behind it yet.
    await expect(form.stage('predict')).toHaveAttribute('data-state', 'running');
    await expect(form.stage('store')).toHaveAttribute('data-state', 'done');
    await expect(form.stage('load')).toHaveAttribute('data-state', 'done');
    await look(page, 'cluster-progress', BODY);
    await narrow(page, 'cluster-progress-narrow');
    await cluster.answers(name);
    await expect(form.root).toBeHidden();
    const endpoint = new EndpointPage(page, name);
    await expect(endpoint.root.or(page.locator(`[id*="${name}"]`)).first()).toBeVisible();
  });

  test('says why no node takes it, and what to do', async ({ page, tmpPath }) => {
    await cluster.play('unschedulable', 'unschedulable*');
    const form = await open(page, `${tmpPath}/large.ipynb`);
    await form.where.getByRole('radio', { name: cluster.title }).check();
    await form.endpointIsNew();
    await form.endpoint.fill('unschedulable');
    await form.serve.click();
    await expect(form.sentence).toContainText('No node has 64 CPU free');
    await expect(form.sentence.locator('.jp-KaleServe-nextStep')).toContainText(/\w+ .*\./);
    await expect(form.stage('schedule')).toHaveAttribute('data-state', /running|failed/);
    await look(page, 'cluster-unschedulable', BODY);
    await narrow(page, 'cluster-unschedulable-narrow');
    await form.root.getByRole('button', { name: 'Close' }).last().click();
  });

  test('takes a name of somebody else only when told to', async ({ page, tmpPath }) => {
    await cluster.order('put', [
      {
        apiVersion: 'serving.kserve.io/v1beta1',
        kind: 'InferenceService',
        metadata: { name: 'theirs', namespace: 'default' },
        spec: { predictor: { model: { modelFormat: { name: 'sklearn' }, storageUri: 'gs://theirs/model' } } }
      }
    ]);
    const form = await open(page, `${tmpPath}/taken.ipynb`);
    await form.where.getByRole('radio', { name: cluster.title }).check();
    await form.endpointIsNew();
    await form.endpoint.fill('theirs');
    await expect(form.endpoint).toHaveAccessibleDescription(/that Kale did not make/);
    await expect(form.serve).toBeDisabled();
    await look(page, 'cluster-form-taken', BODY);
    await form.form.getByRole('checkbox', { name: /Take it over/ }).check();
    await expect(form.serve).toBeEnabled();
    await form.endpoint.fill('free');
    await expect(form.form.getByRole('checkbox', { name: /Take it over/ })).toBeHidden();
    await page.keyboard.press('Escape');
  });

  test('says why the cluster cannot be chosen while it is away', async ({ page, tmpPath }) => {
    await page.route('**/kale-serve/api/targets*', async route => {
      const answer = await route.fetch();
      const body = (await answer.json()) as { items: { name: string }[] };
      const away = {
        available: false,
        reason: 'The API server refuses connections.',
        hint: 'Is the VPN up?'
      };
      const items = body.items.map(item => (item.name === 'kserve' ? { ...item, ...away } : item));
      await route.fulfill({ response: answer, json: { ...body, items } });
    });
    const form = await open(page, `${tmpPath}/away.ipynb`);
    const there = form.where.getByRole('radio', { name: cluster.title });
    await expect(there).toBeDisabled();
    await expect(there).toHaveAccessibleDescription('The API server refuses connections. Is the VPN up?');
    await look(page, 'cluster-form-away', BODY);
    await page.keyboard.press('Escape');
  });
});

async function open(page: IJupyterLabPageFixture, file: string): Promise<ServeFormPage> {
  await page.contents.uploadContent(content(TRAIN), 'text', file);
  const notebook = new NotebookPage(page);
  await notebook.open(file);
  await notebook.run();
  await notebook.choose('make_pipeline', SERVE);
  const form = new ServeFormPage(page);
  await expect(form.form).toBeVisible();
  return form;
}

/** The same in a window of 300 pixels: nothing may stand out of it. */
async function narrow(page: IJupyterLabPageFixture, name: string): Promise<void> {
  const before = page.viewportSize();
  await page.setViewportSize(NARROW);
  const widths = await page.locator(BODY).evaluate(body => [body.scrollWidth, body.clientWidth]);
  expect(widths[0], `${name}: wider than the window`).toBeLessThanOrEqual(widths[1]);
  await page.screenshot({ path: `screenshots/${name}.png`, animations: 'disabled' });
  if (before) {
    await page.setViewportSize(before);
  }
}
