import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import type { JSONValue } from '@lumino/coreutils';

import { ApiError, errorFromAnswer } from './errors';
import type { IServiceKey } from './key';
import { readEventStream } from './sse';
import type {
  IAccepted,
  IArtifact,
  IArtifactPage,
  IArtifactQuery,
  IDryRun,
  IHealth,
  IKernelInfo,
  ILineage,
  IMadeEnvironment,
  INextVersion,
  IRuntime,
  IService,
  IServiceList,
  IServiceObject,
  IServiceRequest,
  ITargetList,
  Protocol
} from './types';

export interface IPrediction {
  /** The body as it came; predictions are not interpreted here. */
  text: string;
  json: JSONValue;
  /** From sending to the last byte, in milliseconds. */
  milliseconds: number;
  /** What the answering model server says of itself; null behind an older one. */
  revision: number | null;
}

export interface ILogOptions {
  component?: string;
  revision?: number;
  tail?: number;
}

type Query = { [key: string]: string | number | undefined | null };

/** The server extension's REST API, one method a call. Every failure is an `ApiError`. */
export class ApiClient {
  constructor(settings: ServerConnection.ISettings) {
    this._settings = settings;
  }

  health(): Promise<IHealth> {
    return this._json<IHealth>('GET', 'api/health');
  }

  kernel(): Promise<IKernelInfo> {
    return this._json<IKernelInfo>('GET', 'api/kernel');
  }

  artifacts(query: IArtifactQuery = {}, signal?: AbortSignal): Promise<IArtifactPage> {
    return this._json<IArtifactPage>('GET', `api/artifacts${queryString({ ...query })}`, undefined, signal);
  }

  artifact(id: number | string): Promise<IArtifact> {
    return this._json<IArtifact>('GET', `api/artifacts/${encodeURIComponent(id)}`);
  }

  async deleteArtifact(id: number): Promise<void> {
    await this._text('DELETE', `api/artifacts/${id}`);
  }

  lineage(id: number | string, signal?: AbortSignal): Promise<ILineage> {
    return this._json<ILineage>('GET', `api/artifacts/${encodeURIComponent(id)}/lineage`, undefined, signal);
  }

  nextVersion(name: string): Promise<INextVersion> {
    return this._json<INextVersion>('GET', `api/next_version${queryString({ name })}`);
  }

  /** Of this machine, or of a target those that it has. */
  async runtimes(target?: string): Promise<IRuntime[]> {
    return (await this._json<{ items: IRuntime[] }>('GET', `api/runtimes${queryString({ target })}`)).items;
  }

  async environments(): Promise<IMadeEnvironment[]> {
    return (await this._json<{ items: IMadeEnvironment[] }>('GET', 'api/environments')).items;
  }

  async deleteEnvironment(name: string): Promise<void> {
    await this._text('DELETE', `api/environments/${encodeURIComponent(name)}`);
  }

  services(): Promise<IServiceList> {
    return this._json<IServiceList>('GET', 'api/services');
  }

  /** Where endpoints can be. */
  targets(): Promise<ITargetList> {
    return this._json<ITargetList>('GET', 'api/targets');
  }

  service(key: IServiceKey): Promise<IService> {
    return this._json<IService>('GET', servicePath(key));
  }

  /** What was sent to the cluster, what is there, and what others have changed. */
  serviceObject(key: IServiceKey, signal?: AbortSignal): Promise<IServiceObject> {
    return this._json<IServiceObject>('GET', servicePath(key, '/object'), undefined, signal);
  }

  /** Let go of what serves and keep the endpoint. */
  pause(key: IServiceKey): Promise<IService> {
    return this._json<IService>('POST', servicePath(key, '/pause'), {});
  }

  resume(key: IServiceKey): Promise<IService> {
    return this._json<IService>('POST', servicePath(key, '/resume'), {});
  }

  serve(request: IServiceRequest): Promise<IAccepted> {
    return this._json<IAccepted>('POST', 'api/services', { ...request, dry_run: false });
  }

  /** What would be said and sent; nothing is changed. */
  dryRun(request: IServiceRequest, signal?: AbortSignal): Promise<IDryRun> {
    return this._json<IDryRun>('POST', 'api/services', { ...request, dry_run: true }, signal);
  }

  async deleteService(key: IServiceKey): Promise<void> {
    await this._text('DELETE', servicePath(key));
  }

  /** The last lines of an endpoint's log. */
  logs(key: IServiceKey, options: ILogOptions = {}): Promise<string> {
    return this._text('GET', servicePath(key, '/logs', { ...options }));
  }

  /**
   * The last lines, then what is written, in pieces that may end anywhere, until the signal aborts or the endpoint has
   * gone. The first piece is empty and says that the log is followed, be there lines or not.
   */
  async *followLogs(key: IServiceKey, options: ILogOptions, signal: AbortSignal): AsyncGenerator<string> {
    const path = servicePath(key, '/logs', { ...options, follow: 1 });
    const response = await this._fetch('GET', path, undefined, signal);
    if (!response.body) {
      return;
    }
    yield '';
    for await (const data of readEventStream(response.body)) {
      yield (JSON.parse(data) as { text: string }).text;
    }
  }

  /** Send a prediction as it is: `body` is the JSON of the protocol. */
  async predict(
    key: IServiceKey,
    protocol: Protocol,
    body: string,
    signal?: AbortSignal
  ): Promise<IPrediction> {
    const model = encodeURIComponent(key.name);
    const call = protocol === 'v1' ? `v1/models/${model}:predict` : `v2/models/${model}/infer`;
    const where = queryString({ target: key.target });
    const path = `serving/${encodeURIComponent(key.namespace)}/${model}/${call}${where}`;
    const started = performance.now();
    const response = await this._fetch('POST', path, body, signal);
    const text = await response.text();
    const milliseconds = performance.now() - started;
    const revision = response.headers.get('X-Kale-Serve-Revision');
    return {
      text,
      json: JSON.parse(text) as JSONValue,
      milliseconds,
      revision: revision === null ? null : Number(revision)
    };
  }

  private async _json<T>(method: string, path: string, body?: object, signal?: AbortSignal): Promise<T> {
    const text = await this._text(method, path, body, signal);
    try {
      return JSON.parse(text) as T;
    } catch {
      throw new ApiError(502, {
        code: 'UpstreamFailed',
        message: 'The server answered something that is not JSON.',
        hint: 'A proxy may have answered in its place: log in again and reload the page.'
      });
    }
  }

  private async _text(method: string, path: string, body?: object, signal?: AbortSignal): Promise<string> {
    const sent = body === undefined ? undefined : JSON.stringify(body);
    return (await this._fetch(method, path, sent, signal)).text();
  }

  private async _fetch(method: string, path: string, body?: string, signal?: AbortSignal): Promise<Response> {
    const url = URLExt.join(this._settings.baseUrl, 'kale-serve', path);
    const init: RequestInit = { method };
    if (body !== undefined) {
      init.body = body;
      init.headers = { 'Content-Type': 'application/json' };
    }
    if (signal) {
      init.signal = signal;
    }
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(url, init, this._settings);
    } catch (reason) {
      if (signal?.aborted) {
        throw reason;
      }
      throw new ApiError(0, {
        code: 'JupyterServerUnreachable',
        message: 'The Jupyter server does not answer.',
        hint: 'Endpoints go on without it. Start it again; this panel comes back by itself.'
      });
    }
    if (!response.ok) {
      throw errorFromAnswer(response.status, response.statusText, await response.text());
    }
    return response;
  }

  private readonly _settings: ServerConnection.ISettings;
}

/** The path of one endpoint's calls. */
function servicePath({ target, namespace, name }: IServiceKey, call = '', query: Query = {}): string {
  return `api/services/${encodeURIComponent(name)}${call}${queryString({ namespace, target, ...query })}`;
}

function queryString(query: Query): string {
  const parts = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== '') {
      parts.set(key, String(value));
    }
  }
  const text = parts.toString();
  return text ? `?${text}` : '';
}
