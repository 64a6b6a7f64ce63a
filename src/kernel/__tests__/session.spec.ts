import { FakeKernel, replied } from '../../__tests__/kernel';
import { FakeServer } from '../../__tests__/server';
import { NotebookKernel } from '../session';

const NOTHING = { models: [], transformers: [], session: null, error: null };
const SUBMISSION = { variable: 'model', name: 'a "b"', version: '1.0.0', sample: null, transformer: 'pre' };

describe('a question to a kernel', () => {
  let server: FakeServer;

  beforeEach(() => {
    server = new FakeServer();
    server.answer('GET api/kernel', { body: { sdk_path: '/data/sdk/0.1.0', version: '0.1.0' } });
  });

  const notebook = (kernel: FakeKernel) =>
    new NotebookKernel(kernel.context, kernel.connector, server.client);

  it('is asked in a subshell of its own, silently, and leaves none behind', async () => {
    const kernel = new FakeKernel();
    kernel.reply = () => Promise.resolve(replied(NOTHING));
    expect(await notebook(kernel).findModels('model.fit(X)')).toEqual(NOTHING);
    expect(kernel.asked).toHaveLength(1);
    const [{ shell, content }] = kernel.asked;
    expect(shell).toBe('sub-1');
    expect(content).toMatchObject({ code: '', silent: true, store_history: false, allow_stdin: false });
    expect(content.user_expressions?.['kale_serve']).toContain('find_models("model.fit(X)")');
    expect(content.user_expressions?.['kale_serve']).toContain('"/data/sdk/0.1.0"');
    expect(kernel.subshells.size).toBe(0);
  });

  it('goes to the kernel itself where it has no subshells', async () => {
    const kernel = new FakeKernel({ subshells: false });
    kernel.reply = () => Promise.resolve(replied(NOTHING));
    await notebook(kernel).findModels('');
    expect(kernel.asked.map(({ shell }) => shell)).toEqual(['main']);
  });

  it('would wait only while a kernel without subshells runs a cell', () => {
    const [old, fresh] = [new FakeKernel({ subshells: false }), new FakeKernel()];
    expect(notebook(old).isWaiting).toBe(false);
    old.status = fresh.status = 'busy';
    expect(notebook(old).isWaiting).toBe(true);
    expect(notebook(fresh).isWaiting).toBe(false);
  });

  it('takes no answer of a kernel that has been replaced', async () => {
    const kernel = new FakeKernel();
    kernel.reply = () => {
      kernel.replace({ id: 'kernel-2' });
      return Promise.resolve(replied(NOTHING));
    };
    await expect(notebook(kernel).findModels('')).rejects.toMatchObject({ code: 'KernelChanged' });
  });

  it('says that the kernel has ended before it answered, and leaves no subshell', async () => {
    const kernel = new FakeKernel();
    kernel.reply = () => Promise.reject(new Error('Canceled future for execute_request message'));
    await expect(notebook(kernel).findModels('')).rejects.toMatchObject({ code: 'KernelGone' });
    expect(kernel.subshells.size).toBe(0);
  });

  it('needs a kernel, and one of Python', async () => {
    const julia = new FakeKernel({ language: 'julia' });
    await expect(notebook(julia).findModels('')).rejects.toThrow('this one runs julia');
    const none = new FakeKernel();
    none.replace(null);
    await expect(notebook(none).findModels('')).rejects.toMatchObject({ code: 'NoKernel' });
  });

  it.each([
    ['an interrupted kernel', { status: 'aborted' }, 'KernelAborted'],
    ['a kernel without expressions', { status: 'ok', user_expressions: {} }, 'KernelUnsupported'],
    [
      'a kernel that does not find our package',
      {
        status: 'ok',
        user_expressions: {
          kale_serve: { status: 'error', ename: 'ModuleNotFoundError', evalue: "No module named 'x'" }
        }
      },
      'ModuleNotFoundError'
    ],
    [
      'an older package that answers text only',
      { status: 'ok', user_expressions: { kale_serve: { status: 'ok', data: { 'text/plain': '{}' } } } },
      'KernelUnsupported'
    ]
  ])('tells what is wrong with %s, and what to do', async (_, reply, code) => {
    const kernel = new FakeKernel();
    kernel.reply = () => Promise.resolve(reply as never);
    const error: unknown = await notebook(kernel)
      .findModels('')
      .catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code, hint: expect.stringMatching(/\w/) });
  });

  it('passes on why the package could not submit', async () => {
    const kernel = new FakeKernel();
    const error = { code: 'VersionExists', message: 'a 1.0.0 is another model.', hint: 'Take 1.0.1.' };
    kernel.reply = () => Promise.resolve(replied({ error }));
    await expect(notebook(kernel).submit(SUBMISSION)).rejects.toMatchObject(error);
    expect(kernel.asked[0].content.user_expressions?.['kale_serve']).toContain(
      'submit("model", name="a \\"b\\"", version="1.0.0", sample=None, transformer="pre")'
    );
  });
});
