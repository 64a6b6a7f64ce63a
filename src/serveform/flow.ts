/** The work behind the serve form: look, submit, serve, watch. Knows no DOM. */
import { DEFAULT_NAMESPACE, LOCAL_TARGET, isSameKey } from '../api';
import type { IRuntime, IService, IServiceKey, IServiceRequest } from '../api';
import type { NotebookKernel } from '../kernel';
import { dataOf } from '../model/state';
import type { IKaleServeModel } from '../tokens';
import { errorBody } from '../ui/errorBody';
import { offerOfArtifact, offerOfFindings, targetName, transformerChoice } from './offer';
import type { IModelChoice, IOffer, IServeValues } from './offer';
import { configOf } from './runtimes';
import { NOTHING_DONE } from './stages';
import { rememberTarget, servicesAt } from './where';
import type { IRun } from './stages';

/** Where the models come from. */
export type Source =
  { kind: 'kernel'; kernel: NotebookKernel; cellSource: string } | { kind: 'artifact'; id: number };

/** A kernel's model that has been submitted before it is served. */
export interface IPackaged {
  /** What it was submitted as: with other values it is another. */
  key: string;
  model: number;
  transformer: number | null;
  stages: { name: string; seconds: number }[];
}

/** What the packaging depends on. */
export function packageKey(values: IServeValues): string {
  const { model, name, version, sample, transformer } = values;
  return JSON.stringify([model, name.trim(), version.trim(), sample, transformer]);
}

export class ServeFlow {
  constructor(model: IKaleServeModel, source: Source) {
    this.model = model;
    this.source = source;
  }

  readonly model: IKaleServeModel;
  readonly source: Source;

  /** The endpoints of one target, in the namespace that the form serves to; others' too. */
  services(target: string): readonly IService[] {
    return servicesAt(dataOf(this.model.services) ?? [], target, this.model.targets.cluster);
  }

  /** Whether looking has to wait for a running cell. */
  get isKernelBusy(): boolean {
    return this.source.kind === 'kernel' && this.source.kernel.isWaiting;
  }

  async look(): Promise<IOffer> {
    const { source } = this;
    const { client } = this.model;
    const [transformers, runtimes, clusterRuntimes] = await Promise.all([
      client.artifacts({ type: 'kale.Transformer', limit: 50 }),
      // Without the list there is still the built-in server.
      client.runtimes().catch((): IRuntime[] => []),
      this._clusterRuntimes()
    ]);
    if (source.kind === 'artifact') {
      const artifact = await client.artifact(source.id);
      return offerOfArtifact(artifact, transformers.items, runtimes, clusterRuntimes);
    }
    const found = await source.kernel.findModels(source.cellSource);
    const offer = offerOfFindings(found, runtimes, clusterRuntimes);
    const known = new Set(offer.transformers.map(item => item.id));
    const stored = transformers.items.filter(item => !known.has(item.id)).map(transformerChoice);
    return { ...offer, transformers: [...offer.transformers, ...stored] };
  }

  /** What is put to the server; `packaged` is the model as submitted where that has been done. */
  request(
    values: IServeValues,
    choice: IModelChoice,
    offer: IOffer,
    packaged: IPackaged | null = null
  ): IServiceRequest {
    const transformer = offer.transformers.find(item => item.key === values.transformer);
    return {
      name: targetName(values),
      // A cluster's own namespace is its configuration's.
      namespace: values.target === LOCAL_TARGET ? DEFAULT_NAMESPACE : null,
      model: packaged?.model ?? choice.artifact,
      transformer: packaged?.transformer ?? transformer?.id ?? null,
      config: configOf(values),
      target: values.target,
      create_only: values.mode === 'new',
      ...(values.propagate ? { propagate_configurations: true } : {}),
      ...(values.overwrite ? { overwrite: true } : {}),
      session: offer.session
    };
  }

  /** Have the kernel submit its model; what it is to be served with is not looked at. */
  async package(values: IServeValues, choice: IModelChoice, offer: IOffer): Promise<IPackaged> {
    if (choice.variable === null || this.source.kind !== 'kernel') {
      throw new Error('There is nothing to package.');
    }
    const transformer = offer.transformers.find(item => item.key === values.transformer);
    const done = await this.source.kernel.submit({
      variable: choice.variable,
      name: values.name.trim(),
      version: values.version.trim(),
      sample: values.sample || null,
      transformer: transformer?.id === null ? transformer.variable : null
    });
    return {
      key: packageKey(values),
      model: done.artifact.id,
      transformer: done.transformer?.id ?? null,
      stages: done.stages
    };
  }

  /**
   * Submit what is not submitted yet, then serve it; `report` is called at each step.
   * Resolves with the endpoint when it has been accepted, with null when it failed before that.
   */
  async serve(
    values: IServeValues,
    choice: IModelChoice,
    offer: IOffer,
    packaged: IPackaged | null,
    report: (run: IRun) => void
  ): Promise<IService | null> {
    let run = { ...NOTHING_DONE, isCluster: values.target !== LOCAL_TARGET };
    const go = (change: Partial<IRun>): void => {
      run = { ...run, ...change };
      report(run);
    };
    try {
      go({});
      const done =
        choice.variable === null ? null : (packaged ?? (await this.package(values, choice, offer)));
      go({ submitted: done?.stages ?? [] });
      const request = this.request(values, choice, offer, done);
      const service = await this.model.serve(request);
      rememberTarget(values.target);
      // Of a model that was only in the kernel the server has had nothing to say before.
      go({ service, findings: service.findings });
      return service;
    } catch (reason) {
      go({ error: errorBody(reason) });
      return null;
    }
  }

  /** Call `report` whenever the endpoint has changed, until the returned function is called. */
  watch(key: IServiceKey, report: (service: IService | null) => void): () => void {
    const onChanged = (_: IKaleServeModel, changed: IServiceKey): void => {
      if (isSameKey(changed, key)) {
        report(this.model.service(key));
      }
    };
    this.model.serviceChanged.connect(onChanged);
    this.model.addViewer();
    // It may have become ready between its being accepted and this call.
    const now = this.model.service(key);
    if (now) {
      report(now);
    }
    return () => {
      this.model.serviceChanged.disconnect(onChanged);
      this.model.removeViewer();
    };
  }

  /** Asked for after the targets are known: most have no cluster. */
  private async _clusterRuntimes(): Promise<IRuntime[]> {
    const { client, targets } = this.model;
    await targets.load();
    return targets.cluster?.available
      ? client.runtimes(targets.cluster.name).catch((): IRuntime[] => [])
      : [];
  }
}
