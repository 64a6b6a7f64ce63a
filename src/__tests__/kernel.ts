import type { ISessionContext } from '@jupyterlab/apputils';
import type { Kernel, KernelMessage } from '@jupyterlab/services';
import { PromiseDelegate } from '@lumino/coreutils';
import type { JSONObject } from '@lumino/coreutils';

import type { KernelConnector } from '../kernel';

type Reply = KernelMessage.IExecuteReplyMsg['content'];

/** What a kernel replies when our expression has given this JSON. */
export function replied(json: JSONObject): Reply {
  const answer = { status: 'ok', data: { 'application/json': json }, metadata: {} };
  return { status: 'ok', execution_count: 0, user_expressions: { kale_serve: answer } } as unknown as Reply;
}

/** A notebook's kernel on the other side of the protocol; it notes what it was asked and where. */
export class FakeKernel {
  constructor(options: { subshells?: boolean; language?: string } = {}) {
    this.context = {
      ready: Promise.resolve(),
      session: { kernel: this._connection('main', options) }
    } as unknown as ISessionContext;
    this.connector = {
      connectTo: ({ subshellId }: { subshellId: string }) => this._connection(subshellId, options)
    } as unknown as KernelConnector;
  }

  readonly context: ISessionContext;
  readonly connector: KernelConnector;
  /** The expressions, with the shell that each was put to. */
  readonly asked: { shell: string; content: KernelMessage.IExecuteRequestMsg['content'] }[] = [];
  /** Subshells that are there. */
  readonly subshells = new Set<string>();
  status = 'idle';

  /** Called for each expression; by default the kernel never replies. */
  reply: (expression: string) => Promise<Reply> = () => new PromiseDelegate<Reply>().promise;

  /** The user chooses another kernel, or none. */
  replace(kernel: { id: string } | null): void {
    Object.assign(this.context.session ?? {}, { kernel });
  }

  private _connection(
    shell: string,
    { subshells = true, language = 'python' }: { subshells?: boolean; language?: string }
  ): Kernel.IKernelConnection {
    const status = (): string => this.status;
    return {
      id: 'kernel-1',
      model: { id: 'kernel-1', name: 'python3' },
      isDisposed: false,
      info: Promise.resolve({ language_info: { name: language } }),
      supportsSubshells: subshells,
      get status() {
        return status();
      },
      requestCreateSubshell: () => {
        this.subshells.add('sub-1');
        return { done: Promise.resolve({ content: { subshell_id: 'sub-1' } }) };
      },
      requestDeleteSubshell: ({ subshell_id }: { subshell_id: string }) => {
        this.subshells.delete(subshell_id);
        return { done: Promise.resolve() };
      },
      requestExecute: (content: KernelMessage.IExecuteRequestMsg['content']) => {
        this.asked.push({ shell, content });
        const expression = String(content.user_expressions?.['kale_serve']);
        return { done: this.reply(expression).then(reply => ({ content: reply })) };
      },
      dispose: () => undefined
    } as unknown as Kernel.IKernelConnection;
  }
}
