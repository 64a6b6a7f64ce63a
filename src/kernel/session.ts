import type { ISessionContext } from '@jupyterlab/apputils';
import type { Kernel } from '@jupyterlab/services';
import type { JSONObject } from '@lumino/coreutils';

import { ApiError } from '../api';
import type { ApiClient } from '../api';
import { ANSWER, findModelsCall, notebookCall, submitCall } from './code';
import type { ISubmission } from './code';
import { readReply } from './reply';
import type { IFindings, ISubmitted } from './types';

/** What the notebook helper needs of the service manager's kernels. */
export type KernelConnector = Pick<Kernel.IManager, 'connectTo'>;

/**
 * Asks a notebook's kernel about its models, and has it submit one.
 *
 * Where the kernel has subshells, the question goes to one of its own and is answered while a cell runs;
 * elsewhere it waits for the running cells, and `isWaiting` says so. Only on a user's action: a subshell's
 * status messages make a busy kernel look idle.
 */
export class NotebookKernel {
  constructor(context: ISessionContext, kernels: KernelConnector, client: ApiClient) {
    this._context = context;
    this._kernels = kernels;
    this._client = client;
  }

  /** Whether a question asked now would have to wait until a running cell ends. */
  get isWaiting(): boolean {
    const kernel = this._context.session?.kernel;
    return kernel?.status === 'busy' && !kernel.supportsSubshells;
  }

  async findModels(cellSource: string): Promise<IFindings> {
    return (await this._ask(findModelsCall(cellSource))) as unknown as IFindings;
  }

  async submit(submission: ISubmission): Promise<ISubmitted> {
    return (await this._ask(submitCall(submission))) as unknown as ISubmitted;
  }

  private async _ask(call: string): Promise<JSONObject> {
    await this._context.ready;
    const kernel = this._context.session?.kernel;
    if (!kernel) {
      throw new ApiError(0, {
        code: 'NoKernel',
        message: 'This notebook has no running kernel.',
        hint: 'Start a kernel and run the cell that trains the model.'
      });
    }
    const info = await kernel.info;
    if (info.language_info.name !== 'python') {
      throw new ApiError(0, {
        code: 'KernelUnsupported',
        message: `Models are found in Python kernels; this one runs ${info.language_info.name}.`
      });
    }
    const { sdk_path } = await this._client.kernel();
    const id = kernel.id;
    const answer = await this._evaluate(kernel, notebookCall(sdk_path, call));
    if (this._context.session?.kernel?.id !== id) {
      throw new ApiError(0, {
        code: 'KernelChanged',
        message: 'The notebook has another kernel now; the answer was of the one before.',
        hint: 'Run the cell that trains the model and try again.'
      });
    }
    return answer;
  }

  private async _evaluate(kernel: Kernel.IKernelConnection, expression: string): Promise<JSONObject> {
    if (!kernel.supportsSubshells) {
      return execute(kernel, expression);
    }
    const { subshell_id } = (await kernel.requestCreateSubshell({}).done).content;
    const connection = this._kernels.connectTo({
      model: kernel.model,
      subshellId: subshell_id,
      handleComms: false
    });
    try {
      return await execute(connection, expression);
    } finally {
      connection.dispose();
      if (!kernel.isDisposed) {
        // Not waited for: a kernel that restarts in between takes its subshells along.
        kernel.requestDeleteSubshell({ subshell_id }).done.catch(() => undefined);
      }
    }
  }

  private readonly _context: ISessionContext;
  private readonly _kernels: KernelConnector;
  private readonly _client: ApiClient;
}

async function execute(kernel: Kernel.IKernelConnection, expression: string): Promise<JSONObject> {
  const future = kernel.requestExecute({
    code: '',
    silent: true,
    store_history: false,
    allow_stdin: false,
    stop_on_error: false,
    user_expressions: { [ANSWER]: expression }
  });
  try {
    return readReply((await future.done).content);
  } catch (reason) {
    if (reason instanceof ApiError) {
      throw reason;
    }
    throw new ApiError(0, {
      code: 'KernelGone',
      message: 'The kernel ended before it answered.',
      hint: 'Run the cell that trains the model and try again.'
    });
  }
}
