import { expect, test } from '@jupyterlab/galata';

import { FakeCluster } from '../cluster';

test.describe('serving to a cluster', () => {
  FakeCluster.needed();
  let cluster: FakeCluster;
  test.beforeAll(async () => {
    cluster = await FakeCluster.start();
  });
  test.afterAll(async () => {
    await cluster.stop();
  });

  test('is configured', async () => {
    expect(cluster.title).toContain('fake');
  });
});
