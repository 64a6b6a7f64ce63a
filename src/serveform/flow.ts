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

export class ServeFlow {
  constructor(model: IKaleServeModel, source: Source) {
    this.model = model;
    this.source = source;
  }

  readonly model: IKaleServeModel;
  readonly source: Source;

  /** The endpoints of one target that the form can make a revision of. */
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
    const [transformers, runtimes] = await Promise.all([
      client.artifacts({ type: 'kale.Transformer', limit: 50 }),
      // Without the list there is still the built-in server.
      client.runtimes().catch((): IRuntime[] => []),
      this.model.targets.load()
    ]);
    if (source.kind === 'artifact') {
      return offerOfArtifact(await client.artifact(source.id), transformers.items, runtimes);
    }
    const offer = offerOfFindings(await source.kernel.findModels(source.cellSource), runtimes);
    const known = new Set(offer.transformers.map(item => item.id));
    const stored = transformers.items.filter(item => !known.has(item.id)).map(transformerChoice);
    return { ...offer, transformers: [...offer.transformers, ...stored] };
  }

  request(values: IServeValues, choice: IModelChoice, offer: IOffer): IServiceRequest {
    const transformer = offer.transformers.find(item => item.key === values.transformer);
    return {
      name: targetName(values),
      // A cluster's own namespace is its configuration's.
      namespace: values.target === LOCAL_TARGET ? DEFAULT_NAMESPACE : null,
      model: choice.artifact,
      transformer: transformer?.id ?? null,
      config: configOf(values),
      target: values.target,
      create_only: values.mode === 'new',
      ...(values.propagate ? { propagate_configurations: true } : {}),
      session: offer.session
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
    report: (run: IRun) => void
  ): Promise<IService | null> {
    let run = NOTHING_DONE;
    const go = (change: Partial<IRun>): void => {
      run = { ...run, ...change };
      report(run);
    };
    try {
      const request = this.request(values, choice, offer);
      if (choice.variable !== null && this.source.kind === 'kernel') {
        go({});
        const transformer = offer.transformers.find(item => item.key === values.transformer);
        const done = await this.source.kernel.submit({
          variable: choice.variable,
          name: values.name.trim(),
          version: values.version.trim(),
          sample: values.sample || null,
          transformer: transformer?.id === null ? transformer.variable : null
        });
        request.model = done.artifact.id;
        request.transformer = done.transformer?.id ?? request.transformer;
        go({ submitted: done.stages });
      } else {
        go({ submitted: [] });
      }
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
}
