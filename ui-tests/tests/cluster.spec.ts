import { expect, test } from '@jupyterlab/galata';
import type { IJupyterLabPageFixture } from '@jupyterlab/galata';

import { FakeCluster } from '../cluster';
import { notebook as content, TRAIN } from '../pages/content';
import { EndpointPage } from '../pages/endpoint';
import { look } from '../pages/look';
import { NotebookPage } from '../pages/notebook';

const PLACE = 'kserve/default';
const SIDEBAR = '#kale-serve-sidebar';
// With both side bars open, the panel has 300 pixels.
const NARROW = { width: 850, height: 900 };

test.describe('endpoints on a cluster', () => {
  FakeCluster.needed();
  // On a loaded machine axe alone takes half a minute for a panel.
  test.describe.configure({ timeout: 300_000 });
  let cluster: FakeCluster;
  test.beforeAll(async () => {
    cluster = await FakeCluster.start();
  });
  test.afterAll(async () => {
    await cluster.stop();
  });

  test('what serves, what fails and what others made stand under the cluster’s name, also while it is away', async ({
    page,
    tmpPath
  }) => {
    const names = await serveTwo(page, tmpPath, cluster);
    await putTheirs(cluster);
    const sidebar = await show(page);
    const group = sidebar.getByRole('region', { name: cluster.title });
    const row = (name: string) => group.locator('.jp-KaleServe-item', { hasText: name });
    await expect(row(names.good)).toContainText('Ready');
    await expect(row(names.bad).getByRole('alert')).toContainText('cannot be pulled');
    await expect(row('others-model')).toContainText('not by Kale');
    await row('others-model')
      .getByRole('button', { name: /What can be done/ })
      .click();
    const menu = page.locator('.lm-Menu');
    await expect(menu.getByText('Open', { exact: false }).first()).toBeVisible();
    await expect(menu.getByText('Delete')).toHaveCount(0);
    await page.keyboard.press('Escape');
    await look(page, 'cluster-sidebar', SIDEBAR);

    await cluster.refuse();
    await expect(group.getByText(/^Stale since \d/)).toBeVisible({ timeout: 60_000 });
    await expect(row(names.good)).toBeVisible();
    await look(page, 'cluster-sidebar-stale', SIDEBAR);
    await cluster.resume();
    await expect(group.getByText(/^Stale since/)).toBeHidden({ timeout: 60_000 });
    await expect(row(names.good)).toContainText('Ready');
  });

  test('an endpoint shows pods, addresses and its object; it predicts, pauses, and takes back what others changed', async ({
    page,
    tmpPath
  }) => {
    const names = await serveTwo(page, tmpPath, cluster);
    await show(page);
    const endpoint = await openEndpoint(page, names.good);
    const root = `[id="kale-serve-endpoint-${PLACE}/${names.good}"]`;
    await expect(endpoint.state).toContainText('Ready', { timeout: 60_000 });
    await endpoint.tab('Test');
    await expect(endpoint.predict).toBeEnabled();
    await endpoint.sampleRow.selectOption('0');
    await endpoint.predict.press('Control+Enter');
    await expect(endpoint.table).toBeVisible();

    await endpoint.tab('Overview');
    const pods = endpoint.root.getByRole('region', { name: 'Pods' });
    await expect(pods.locator('tbody tr').first()).toContainText(`${names.good}-predictor`);
    const addresses = endpoint.root.getByRole('region', { name: 'Addresses' });
    await expect(addresses.getByText('works', { exact: true })).toHaveCount(1);
    await look(page, 'cluster-overview', root);
    await narrow(page, 'cluster-overview-narrow', root);

    await endpoint.tab('YAML');
    await expect(endpoint.code).toContainText('kind: InferenceService');
    await endpoint.root.getByRole('button', { name: 'On the cluster' }).click();
    await expect(endpoint.code).toContainText('resourceVersion:');
    await look(page, 'cluster-object', root);
    await endpoint.tab('Consume');
    await expect(endpoint.code.first()).toContainText('target="kserve"');
    await look(page, 'cluster-consume', root);

    await endpoint.tab('Overview');
    await cluster.edit('inferenceservices', names.good, { spec: { predictor: { minReplicas: 2 } } });
    const drift = endpoint.root.getByRole('region', { name: 'Changed by others' });
    await expect(drift).toContainText('spec.predictor.minReplicas');
    await look(page, 'cluster-drift', root);
    await drift.getByRole('button', { name: 'Take back…' }).click();
    await page.locator('.jp-Dialog').getByRole('button', { name: 'Take back' }).click();
    await expect(drift).toBeHidden({ timeout: 60_000 });
    await expect(endpoint.state).toContainText('Ready', { timeout: 60_000 });

    await endpoint.root.getByRole('button', { name: 'Pause' }).click();
    await expect(endpoint.root.getByRole('button', { name: 'Resume' })).toBeVisible();
    await expect(endpoint.root.getByText(/is paused/).first()).toBeVisible();
    await look(page, 'cluster-paused', root);
    await endpoint.root.getByRole('button', { name: 'Resume' }).click();
    await expect(endpoint.root.getByRole('button', { name: 'Pause' })).toBeVisible();
  });

  test('an endpoint that fails says why, what the cluster tells, and what to do', async ({ page, tmpPath }) => {
    const names = await serveTwo(page, tmpPath, cluster);
    await show(page);
    const endpoint = await openEndpoint(page, names.bad);
    await endpoint.tab('Overview');
    await expect(endpoint.root.getByText(/cannot be pulled/).first()).toBeVisible();
    await expect(endpoint.root.getByRole('region', { name: 'What the cluster tells' }).locator('tbody tr')).not.toHaveCount(
      0
    );
    const root = `[id="kale-serve-endpoint-${PLACE}/${names.bad}"]`;
    await look(page, 'cluster-failed', root);
    await narrow(page, 'cluster-failed-narrow', root);
  });
});

/** One that serves for real, and one whose image is nowhere; by name, so that each test can be run alone. */
async function serveTwo(
  page: IJupyterLabPageFixture,
  tmpPath: string,
  cluster: FakeCluster
): Promise<{ good: string; bad: string }> {
  const stamp = Date.now() % 100000;
  const names = { good: `well-${stamp}`, bad: `absent-${stamp}` };
  await cluster.play('missing-image', 'absent-*');
  const file = `${tmpPath}/served.ipynb`;
  await page.contents.uploadContent(content(TRAIN), 'text', file);
  const notebook = new NotebookPage(page);
  await notebook.open(file);
  await notebook.run();
  await notebook.evaluate(
    [
      'from kale_serve_lab import Model, serve',
      'artifact = Model(model, name="cancer", signature=X_train).submit_artifact()',
      `serve(artifact.id, name="${names.good}", serve_config={"min_replicas": 1, "max_replicas": 3}, target="kserve", wait=False)`,
      'absent = {"container": {"name": "kserve-container", "image": "localhost/absent:1"}}',
      `serve(name="${names.bad}", serve_config={"predictor": absent}, target="kserve", wait=False)`
    ].join('\n')
  );
  await cluster.answers(names.good);
  return names;
}

async function putTheirs(cluster: FakeCluster): Promise<void> {
  await cluster.order('put', [
    {
      apiVersion: 'serving.kserve.io/v1beta1',
      kind: 'InferenceService',
      metadata: { name: 'others-model', namespace: 'default' },
      spec: { predictor: { model: { modelFormat: { name: 'sklearn' }, storageUri: 'gs://others/model' } } }
    }
  ]);
}

async function show(page: IJupyterLabPageFixture) {
  await page.evaluate(async () => {
    await window.jupyterapp.commands.execute('kale-serve:show-sidebar');
  });
  return page.locator(SIDEBAR);
}

async function openEndpoint(page: IJupyterLabPageFixture, name: string): Promise<EndpointPage> {
  await page
    .locator(SIDEBAR)
    .getByRole('button', { name: `Open endpoint ${name}` })
    .or(page.locator(`${SIDEBAR} button.jp-KaleServe-name`, { hasText: name }))
    .first()
    .click();
  const endpoint = new EndpointPage(page, name, PLACE);
  await expect(endpoint.root).toBeVisible();
  return endpoint;
}

/** The same in a narrow window: nothing may stand out of it. */
async function narrow(page: IJupyterLabPageFixture, name: string, root: string): Promise<void> {
  const before = page.viewportSize();
  await page.setViewportSize(NARROW);
  const widths = await page.locator(root).evaluate(each => [each.scrollWidth, each.clientWidth]);
  expect(widths[0], `${name}: wider than the panel`).toBeLessThanOrEqual(widths[1]);
  await page.screenshot({ path: `screenshots/${name}.png`, animations: 'disabled' });
  if (before) {
    await page.setViewportSize(before);
  }
}
