import { nullTranslator } from '@jupyterlab/translation';
import { fireEvent, render, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import React, { useState } from 'react';

import { ApiError } from '../../api';
import type { ApiClient, IPrediction, IService } from '../../api';
import type { ICall } from '../calls';
import { initialInput } from '../input';
import type { IShape } from '../input';
import { askedBy, wantedOutputs } from '../request';
import { TestTab } from '../TestTab';
import { column, service, several, tumour } from './fixtures';

const trans = nullTranslator.load('kale_serve_lab');

type Answers = { [endpoint: string]: (body: string) => Promise<IPrediction> };

/** Answers by endpoint; an endpoint that has none fails the test by its name. */
function clientOf(answers: Answers): Pick<ApiClient, 'predict'> & { bodies: string[] } {
  const bodies: string[] = [];
  return {
    bodies,
    predict: ({ namespace, name }, protocol, body) => {
      bodies.push(body);
      return answers[`${namespace}/${name}/${protocol}`](body);
    }
  };
}

function prediction(json: IPrediction['json']): IPrediction {
  return { text: JSON.stringify(json), json, milliseconds: 0.9, revision: 3 };
}

function Harness({ of, client }: { of: IService; client: Pick<ApiClient, 'predict'> }): JSX.Element {
  const shape: IShape = {
    signature: of.signature,
    protocol: askedBy(of),
    outputs: wantedOutputs(of.signature)
  };
  const [input, setInput] = useState(initialInput(shape));
  const [calls, setCalls] = useState<ICall[]>([]);
  return (
    <TestTab
      service={of}
      shape={shape}
      client={client}
      input={input}
      onInput={setInput}
      calls={calls}
      onCalls={change => setCalls(change)}
      trans={trans}
    />
  );
}

const benign = prediction({
  outputs: [
    { name: 'predict', datatype: 'BYTES', shape: [1], data: ['benign'] },
    { name: 'predict_proba', datatype: 'FP64', shape: [1, 2], data: [0.029, 0.971] }
  ]
});

describe('TestTab', () => {
  it('is filled from the sample and predicts on Ctrl+Enter', async () => {
    const client = clientOf({ 'default/tumour/v2': () => Promise.resolve(benign) });
    render(<Harness of={service()} client={client} />);
    const radius = screen.getByLabelText('mean radius');
    expect(radius).toHaveValue('17.99');
    await userEvent.click(radius);
    await userEvent.keyboard('{Control>}{Enter}{/Control}');
    const bars = await screen.findByRole('list', { name: 'Class probabilities' });
    expect(within(bars).getAllByRole('listitem')[0]).toHaveTextContent('benign97.1 %');
    expect(screen.getByText('0.9 ms')).toBeVisible();
    expect(screen.getByText('sample row 1')).toBeVisible();
    expect(JSON.parse(client.bodies[0]).inputs[0].data).toEqual([17.99, 10.38, 122.8]);
  });

  it('has an editor for each tensor, with its shape told, and a table for each output', async () => {
    const answer = prediction({
      outputs: [
        { name: 'class', datatype: 'FP32', shape: [1, 2], data: [0.25, 0.75] },
        { name: 'box', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] }
      ]
    });
    const client = clientOf({ 'default/tumour/v2': () => Promise.resolve(answer) });
    render(<Harness of={service({ signature: several })} client={client} />);
    const pixels = screen.getByRole('textbox', { name: 'pixels' });
    expect(pixels).toHaveAccessibleDescription('FP32 · 2 × 2');
    expect(screen.getByRole('textbox', { name: 'age' })).toHaveValue('7');
    fireEvent.change(pixels, { target: { value: '[1, 2, 3, 4]' } });
    expect(pixels).toHaveAccessibleDescription('FP32 · 2 × 2 Its shape is 4; 2 × 2 is needed.');
    expect(screen.getByRole('button', { name: 'Predict' })).toBeDisabled();
    fireEvent.change(pixels, { target: { value: '[[1, 2], [3, 4]]' } });
    await userEvent.click(screen.getByRole('button', { name: 'Predict' }));
    expect(await screen.findByRole('region', { name: 'box as a table' })).toHaveTextContent('1234');
    const bars = screen.getByRole('list', { name: 'Class probabilities of class' });
    expect(within(bars).getAllByRole('listitem')[0]).toHaveTextContent('dog75.0 %');
    expect(JSON.parse(client.bodies[0]).inputs[0]).toEqual({
      name: 'pixels',
      datatype: 'FP32',
      shape: [1, 2, 2],
      data: [1, 2, 3, 4]
    });
  });

  it('shows a tensor of pixels as a picture', () => {
    const inputs = [column('digit', 'FP32', { shape: [-1, 8, 8] })];
    const input_example = [[Array.from({ length: 8 }, () => Array.from({ length: 8 }, () => 0.5))]];
    const signature = { ...several, inputs, input_example };
    render(<Harness of={service({ signature })} client={clientOf({})} />);
    expect(screen.getByRole('img', { name: 'digit as a picture, 8 × 8' })).toBeVisible();
  });

  it('remarks on a value outside training without refusing it', async () => {
    render(<Harness of={service()} client={clientOf({})} />);
    const perimeter = screen.getByLabelText('mean perimeter');
    await userEvent.clear(perimeter);
    expect(screen.getByRole('button', { name: 'Predict' })).toBeDisabled();
    expect(perimeter).toBeInvalid();
    await userEvent.type(perimeter, '1508');
    expect(screen.getByText('8 × above the largest value in training (188.5)')).toBeVisible();
    expect(screen.getByRole('button', { name: 'Predict' })).toBeEnabled();
  });

  it('shows the first of many columns, but never hides one that keeps it from being sent', async () => {
    const inputs = Array.from({ length: 30 }, (_, index) => column(`c${index}`));
    const input_example = [inputs.map((_, index) => (index === 20 ? null : index))];
    render(
      <Harness of={service({ signature: { ...tumour, inputs, input_example } })} client={clientOf({})} />
    );
    expect(screen.getAllByRole('textbox')).toHaveLength(9);
    expect(screen.getByLabelText('c20')).toBeInvalid();
    await userEvent.click(screen.getByRole('button', { name: 'show all' }));
    expect(screen.getAllByRole('textbox')).toHaveLength(30);
  });

  it('keeps the request over the JSON view and back', async () => {
    render(<Harness of={service()} client={clientOf({})} />);
    fireEvent.change(screen.getByRole('combobox', { name: 'Sample row' }), { target: { value: '1' } });
    await userEvent.click(screen.getByRole('button', { name: 'JSON' }));
    const json = screen.getByRole('textbox', { name: 'Request as JSON' });
    expect(JSON.parse((json as HTMLTextAreaElement).value).inputs[0].data).toEqual([20.57, 17.77, 132.9]);
    await userEvent.click(screen.getByRole('button', { name: 'Form' }));
    expect(screen.getByLabelText('mean radius')).toHaveValue('20.57');
    expect(screen.getByRole('combobox', { name: 'Sample row' })).toHaveDisplayValue('Sample row 2');
  });

  it('stays in the JSON view when its rows fit no form', async () => {
    render(<Harness of={service()} client={clientOf({})} />);
    await userEvent.click(screen.getByRole('button', { name: 'JSON' }));
    const json = screen.getByRole('textbox', { name: 'Request as JSON' });
    await userEvent.clear(json);
    await userEvent.click(json);
    await userEvent.paste('{"instances": [[1]]}');
    await userEvent.click(screen.getByRole('button', { name: 'Form' }));
    expect(screen.getByRole('alert')).toHaveTextContent('no row that fits');
    expect(json).toHaveValue('{"instances": [[1]]}');
  });

  it('says what went wrong and what to do', async () => {
    const refuse = (): Promise<IPrediction> =>
      Promise.reject(
        new ApiError(400, { code: 'InvalidInput', message: '2 columns, 3 are needed.', hint: 'Add one.' })
      );
    render(<Harness of={service()} client={clientOf({ 'default/tumour/v2': refuse })} />);
    await userEvent.click(screen.getByRole('button', { name: 'Predict' }));
    expect(await screen.findByRole('alert')).toHaveTextContent('2 columns, 3 are needed.Add one.');
    expect(screen.getByText('failed')).toBeVisible();
  });

  it('replays a call as it was sent and says whether the answer is the same', async () => {
    let count = 0;
    const answer = (): Promise<IPrediction> =>
      Promise.resolve(
        ++count < 3 ? benign : prediction({ outputs: [{ name: 'predict', shape: [1], data: ['malignant'] }] })
      );
    const client = clientOf({ 'default/tumour/v2': answer });
    render(<Harness of={service()} client={client} />);
    await userEvent.click(screen.getByRole('button', { name: 'Predict' }));
    await userEvent.click(await screen.findByRole('button', { name: /^Replay/ }));
    expect(await screen.findByText('= same')).toBeVisible();
    await userEvent.click(screen.getAllByRole('button', { name: /^Replay/ })[0]);
    expect(await screen.findByText('≠ differs')).toBeVisible();
    await waitFor(() => expect(new Set(client.bodies).size).toBe(1));
  });

  it('does not predict before a revision is ready, and says why', () => {
    const of = service({ ready_revision: null, state: 'Loading', sentence: 'tumour loads.' });
    render(<Harness of={of} client={clientOf({})} />);
    expect(screen.getByRole('button', { name: 'Predict' })).toBeDisabled();
    expect(screen.getByText('tumour loads.')).toBeVisible();
  });
});
