import { execFileSync } from 'child_process';
import fs from 'fs';
import path from 'path';

import { expect, test } from '@jupyterlab/galata';

import { notebook as content, TRAIN } from '../pages/content';
import { EndpointPage } from '../pages/endpoint';
import { look } from '../pages/look';
import { NotebookPage, SERVE } from '../pages/notebook';
import { ServeFormPage } from '../pages/serveform';

/** A model server of the user's own: v1, and each prediction is how many columns a row has. */
const SERVER = `
import json, os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body):
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.answer({"name": "mine", "ready": True})

    def do_POST(self):
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["instances"]
        self.answer({"predictions": [len(row) for row in rows]})

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
`;

function addRuntime(): void {
  const home = process.env.KALE_SERVE_UI_HOME ?? '';
  const script = path.join(home, 'server.py');
  fs.writeFileSync(script, SERVER);
  const python = execFileSync('python', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).trim();
  const folder = path.join(process.env.KALE_SERVE_DATA_DIR ?? '', 'runtimes');
  fs.mkdirSync(folder, { recursive: true });
  const runtime = {
    apiVersion: 'serving.kserve.io/v1alpha1',
    kind: 'ServingRuntime',
    metadata: { name: 'column-counter' },
    spec: {
      supportedModelFormats: [{ name: 'sklearn', version: '1', autoSelect: false }],
      protocolVersions: ['v1'],
      containers: [{ name: 'kserve-container', command: [python, script] }]
    }
  };
  // JSON is YAML too.
  fs.writeFileSync(path.join(folder, 'counter.yaml'), JSON.stringify(runtime));
}

test('a runtime of one’s own is chosen by the keyboard, serves, and is told everywhere', async ({ page, tmpPath }) => {
  addRuntime();
  const file = `${tmpPath}/runtime.ipynb`;
  await page.contents.uploadContent(content(TRAIN), 'text', file);
  const notebook = new NotebookPage(page);
  await notebook.open(file);
  await notebook.run();
  await notebook.choose('make_pipeline', SERVE);

  const form = new ServeFormPage(page);
  await form.endpointIsNew();
  const name = `counter-${Date.now() % 100000}`;
  await form.endpoint.fill(name);
  await expect(form.ticks.locator('[data-check="runtime"][data-state="ok"]')).toBeVisible();
  await look(page, 'form-preflight', '.jp-KaleServe-dialogBody');

  await form.advanced.focus();
  await page.keyboard.press('Enter');
  await expect(form.runtime('Built-in')).toBeChecked();
  await expect(form.runtime('TorchServe')).toBeDisabled();
  await expect(form.root.getByText('Serves PyTorch only.')).toBeVisible();
  await look(page, 'form-runtimes', '.jp-KaleServe-dialogBody');

  // The arrows go on to the next runtime that fits.
  await form.runtime('Built-in').focus();
  while (!(await form.runtime('column-counter').isChecked())) {
    await page.keyboard.press('ArrowDown');
  }
  await expect(form.protocol).toHaveValue('v1');
  await expect(form.ticks.locator('[data-state="asking"]')).toHaveCount(0);
  await page.keyboard.press('Enter');

  const endpoint = new EndpointPage(page, name);
  await expect(endpoint.predict).toBeEnabled();
  await endpoint.predict.press('Control+Enter');
  await expect(endpoint.table).toBeVisible();
  expect((await endpoint.values())[0]).toBe('30');
  await endpoint.tab('Overview');
  await expect(endpoint.root.getByText('column-counter').first()).toBeVisible();
  await look(page, 'overview-runtime', `[id="kale-serve-endpoint-local/default/${name}"]`);

  await page.evaluate(async () => {
    await window.jupyterapp.commands.execute('kale-serve:show-sidebar');
  });
  const sidebar = page.locator('#kale-serve-sidebar');
  await expect(sidebar.locator('.jp-KaleServe-item', { hasText: name })).toContainText('column-counter · v1');
  await sidebar.getByRole('heading', { name: /^Environments/ }).click();
  await expect(sidebar.getByText(/made once and kept/)).toBeVisible();
  await look(page, 'sidebar-environments', '#kale-serve-sidebar');
});

test('a model of named tensors is asked by an editor for each, and answers in a table for each', async ({ page, tmpPath }) => {
  const file = `${tmpPath}/tensors.ipynb`;
  const name = `tensors-${Date.now() % 100000}`;
  await page.contents.uploadContent(content(TENSORS(name)), 'text', file);
  const notebook = new NotebookPage(page);
  await notebook.open(file);
  await notebook.run();
  await page.evaluate(async endpoint => {
    await window.jupyterapp.commands.execute('kale-serve:open-endpoint', { name: endpoint });
  }, name);
  const endpoint = new EndpointPage(page, name);
  await expect(endpoint.predict).toBeEnabled();
  await expect(endpoint.input.getByRole('img', { name: /pixels as a picture/ })).toBeVisible();
  await endpoint.predict.press('Control+Enter');
  await expect(endpoint.answer.getByRole('list', { name: 'Class probabilities of class' })).toBeVisible();
  await expect(endpoint.answer.getByRole('region', { name: 'mass as a table' })).toBeVisible();
  await look(page, 'playground-tensors', `[id="kale-serve-endpoint-local/default/${name}"]`);
  await endpoint.tab('Consume');
  // What the page says to write is written, and answers the same.
  const code = (await endpoint.code.first().textContent()) ?? '';
  const said = await notebook.evaluate(`${code.replace('endpoint.predict', '_said = endpoint.predict')}\nprint(sorted(_said))`);
  expect(said.trim()).toBe("['class', 'mass']");
  await look(page, 'consume-tensors', `[id="kale-serve-endpoint-local/default/${name}"]`);
});

/** A model that no framework knows: two named inputs, one of them a picture; two named outputs. */
const TENSORS = (endpoint: string): string =>
  [
    'import numpy as np',
    'from kale_serve_lab import Model, serve',
    'from kale_serve_lab.inference.signature import Signature, TensorSpec',
    '',
    'class Shapes:',
    '    def predict(self, x):',
    '        mass = x["pixels"].reshape(len(x["pixels"]), -1).sum(1) + x["bias"]',
    '        odd = 1 / (1 + np.exp(-mass / 100))',
    '        return {"class": np.stack([1 - odd, odd], 1), "mass": mass.reshape(-1, 1)}',
    '',
    'row, column = np.mgrid[:28, :28]',
    'ring = np.exp(-((np.hypot(row - 14, column - 14) - 8) ** 2) / 6).round(3)',
    'spec = lambda name, dtype, *shape, **more: TensorSpec(name, dtype, (-1, *shape), **more)',
    'signature = Signature(',
    '    layout="tensors", named=True, input_example=[[ring.tolist(), 1.0]], source="a ring",',
    '    inputs=(spec("pixels", "FP64", 28, 28), spec("bias", "FP64")),',
    '    outputs=(spec("class", "FP64", 2, classes=("blank", "ring")), spec("mass", "FP64", 1)),',
    ')',
    `_ = serve(Model(Shapes(), name="${endpoint}", signature=signature), name="${endpoint}")`
  ].join('\n');
