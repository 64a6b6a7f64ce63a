import { signalToPromise } from '@jupyterlab/coreutils';

import { artifact, service, target } from '../../__tests__/fixtures';
import { FakeServer } from '../../__tests__/server';
import { dataOf } from '../state';
import type { KaleServeModel } from '../model';

describe('KaleServeModel', () => {
  let server: FakeServer;
  let model: KaleServeModel;

  beforeEach(() => {
    server = new FakeServer();
    server.answer('GET api/services', { body: { seq: 7, items: [service('b'), service('a')] } });
    server.answer('GET api/artifacts', { body: { items: [artifact(12)], next_page_token: null, total: 1 } });
    model = server.model();
  });

  afterEach(() => model.dispose());

  const names = () => dataOf(model.services)?.map(each => each.name);
  const servicesAsked = () => server.asked.filter(call => call.startsWith('GET api/services')).length;

  it('asks for no endpoints at start while no daemon runs', async () => {
    server.answer('GET api/health', { body: { version: '0.1.0', daemon: null, error: null } });
    await model.start();
    expect(server.asked).toEqual(['GET api/health']);
    expect(model.services.kind).toBe('loading');
  });

  it('shows endpoints by name and artifacts after a snapshot', async () => {
    await model.refresh();
    expect(names()).toEqual(['a', 'b']);
    expect(dataOf(model.models)?.total).toBe(1);
    expect(model.service({ name: 'a', namespace: 'default', target: 'local' })?.name).toBe('a');
  });

  it('asks for the one endpoint that the next event is about', async () => {
    await model.refresh();
    server.answer('GET api/services/a', { body: service('a', { state: 'Failed' }) });
    const changed = signalToPromise(model.serviceChanged);
    server.emit({ seq: 8, kind: 'service', name: 'a', revision: 1, state: 'Failed', deleted: false });
    expect((await changed)[1]).toEqual({ name: 'a', namespace: 'default', target: 'local' });
    expect(model.service({ name: 'a', namespace: 'default', target: 'local' })?.state).toBe('Failed');
    expect(server.asked.filter(call => call === 'GET api/services')).toHaveLength(1);
  });

  it('takes a snapshot when events were lost', async () => {
    await model.refresh();
    server.answer('GET api/services', { body: { seq: 20, items: [service('c')] } });
    const changed = signalToPromise(model.serviceChanged);
    server.emit({ seq: 20, kind: 'service', name: 'c', revision: 1, state: 'Ready', deleted: false });
    await changed;
    expect(names()).toEqual(['c']);
  });

  it('leaves an event alone that the snapshot has overtaken', async () => {
    await model.refresh();
    const before = servicesAsked();
    server.emit({ seq: 6, kind: 'service', name: 'a', revision: 1, state: 'Ready', deleted: false });
    expect(servicesAsked()).toBe(before);
  });

  it('takes a removed endpoint out without asking', async () => {
    await model.refresh();
    server.emit({ seq: 8, kind: 'service', name: 'a', deleted: true });
    expect(names()).toEqual(['b']);
  });

  it('keeps what it knew when the server goes, and says since when', async () => {
    await model.refresh();
    server.down = true;
    await model.refresh();
    expect(model.services).toMatchObject({ kind: 'stale', error: { code: 'JupyterServerUnreachable' } });
    expect(names()).toEqual(['a', 'b']);
    server.down = false;
    await model.refresh();
    expect(model.services.kind).toBe('ready');
  });

  it('is unavailable with a reason where the daemon cannot start', async () => {
    const error = {
      code: 'DaemonMissingDependency',
      message: 'ml-metadata is missing.',
      hint: 'Install it.'
    };
    server.answer('GET api/services', { status: 503, body: { error } });
    await model.refresh();
    expect(model.services).toMatchObject({
      kind: 'unavailable',
      error: { message: error.message, hint: error.hint }
    });
  });

  it('is empty, not in error, where there is nothing', async () => {
    server.answer('GET api/services', { body: { seq: 0, items: [] } });
    server.answer('GET api/artifacts', { body: { items: [], next_page_token: null, total: 0 } });
    await model.refresh();
    expect(model.services.kind).toBe('empty');
    expect(model.models.kind).toBe('empty');
  });

  it('adds the next page to the artifacts that are shown', async () => {
    server.answer('GET api/artifacts', { body: { items: [artifact(12)], next_page_token: 'p2', total: 2 } });
    await model.refresh();
    server.answer('GET api/artifacts', { body: { items: [artifact(11)], next_page_token: null, total: 2 } });
    await model.loadMoreModels();
    expect(dataOf(model.models)).toMatchObject({ items: [{ id: 12 }, { id: 11 }], hasMore: false });
    expect(server.asked[server.asked.length - 1]).toContain('page_token=p2');
  });

  it('shows an endpoint as soon as it was accepted', async () => {
    server.answer('POST api/services', { status: 202, body: service('new', { state: 'Pending' }) });
    await model.serve({
      name: 'new',
      namespace: 'default',
      model: 12,
      transformer: null,
      config: {},
      target: 'local',
      create_only: true
    });
    expect(names()).toEqual(['new']);
  });

  it('keeps endpoints of one name apart by target and namespace', async () => {
    const [here, there, team] = [
      service('a'),
      service('a', { target: 'kserve', state: 'Loading' }),
      service('a', { target: 'kserve', namespace: 'team' })
    ];
    server.answer('GET api/services', { body: { seq: 7, items: [team, there, here] } });
    await model.refresh();
    expect(dataOf(model.services)?.map(({ target, namespace }) => `${target}/${namespace}`)).toEqual([
      'kserve/default',
      'kserve/team',
      'local/default'
    ]);
    server.answer('GET api/services/a', { body: { ...there, state: 'Failed' } });
    const changed = signalToPromise(model.serviceChanged);
    server.emit({ seq: 8, kind: 'service', name: 'a', target: 'kserve', revision: 1, deleted: false });
    expect((await changed)[1]).toEqual({ name: 'a', namespace: 'default', target: 'kserve' });
    expect(server.asked[server.asked.length - 1]).toBe('GET api/services/a?namespace=default&target=kserve');
    expect(model.service(there)?.state).toBe('Failed');
    expect(model.service(here)?.state).toBe('Ready');
    server.emit({ seq: 9, kind: 'service', name: 'a', target: 'kserve', deleted: true });
    expect(model.service(there)).toBeNull();
    expect(model.service(here)).not.toBeNull();
    expect(model.service(team)).not.toBeNull();
  });

  it('takes an event that names no target for one of this machine', async () => {
    await model.refresh();
    server.emit({ seq: 8, kind: 'service', name: 'a', deleted: true });
    expect(model.service({ name: 'a', namespace: 'default', target: 'local' })).toBeNull();
  });

  it('knows the targets with each snapshot, and what it knew where they cannot be asked', async () => {
    const targets = { default: 'kserve', items: [target(), target('kserve')] };
    server.answer('GET api/targets', { body: targets });
    expect(model.targets.default).toBe('local');
    expect(model.targets.cluster).toBeNull();
    await model.refresh();
    expect(model.targets.default).toBe('kserve');
    expect(model.targets.cluster).toMatchObject({ name: 'kserve', namespace: 'kubeflow-user' });
    server.answer('GET api/targets', { status: 503, body: { error: { code: 'x', message: 'no' } } });
    await model.refresh();
    expect(model.targets.state.kind).toBe('stale');
    expect(model.targets.get('kserve')).not.toBeNull();
    const without = target('kserve', { configured: false, available: false, reason: 'No cluster.' });
    server.answer('GET api/targets', { body: { default: 'local', items: [target(), without] } });
    await model.refresh();
    expect(model.targets.cluster).toBeNull();
  });

  it('pauses and resumes the endpoint that is meant', async () => {
    await model.refresh();
    const key = { name: 'a', namespace: 'team', target: 'kserve' };
    for (const what of ['pause', 'resume'] as const) {
      const after = service('a', { ...key, sentence: what });
      server.answer(`POST api/services/a/${what}`, { status: 202, body: after });
      await (what === 'pause' ? model.pauseService(key) : model.resumeService(key));
      expect(server.asked[server.asked.length - 1]).toBe(
        `POST api/services/a/${what}?namespace=team&target=kserve`
      );
      expect(model.service(key)?.sentence).toBe(what);
    }
  });

  it('passes on why an endpoint cannot be removed', async () => {
    await model.refresh();
    const error = { code: 'Conflict', message: 'a is being updated.', hint: 'Wait.' };
    server.answer('DELETE api/services/a', { status: 409, body: { error } });
    await expect(
      model.deleteService({ name: 'a', namespace: 'default', target: 'local' })
    ).rejects.toMatchObject(error);
    expect(names()).toEqual(['a', 'b']);
  });
});
