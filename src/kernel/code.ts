/** The Python that runs in a kernel for us. Pure. */

/** Name under which the reply carries the answer. */
export const ANSWER = 'kale_serve';

/** A text as a Python literal. JSON's escapes are Python's. */
export function pythonString(text: string): string {
  return JSON.stringify(text);
}

/**
 * One expression that calls `kale_serve_lab.notebook`, from `sdkPath` where nothing of ours is installed.
 * An expression and not a statement: it leaves no name behind in the user's namespace.
 */
export function notebookCall(sdkPath: string, call: string): string {
  const path = pythonString(sdkPath);
  const sys = '__import__("sys")';
  const find = '__import__("importlib.util", fromlist=["_"]).find_spec("kale_serve_lab")';
  return (
    `(${find} is None and ${path} not in ${sys}.path and ${sys}.path.append(${path}), ` +
    `__import__("kale_serve_lab.notebook", fromlist=["_"]).${call})[1]`
  );
}

export function findModelsCall(cellSource: string): string {
  return `find_models(${pythonString(cellSource)})`;
}

export interface ISubmission {
  /** The variable that holds the model. */
  variable: string;
  name: string;
  version: string;
  /** The variable to take the sample from; null for none. */
  sample: string | null;
  /** The variable that holds a transformer; null for none. */
  transformer: string | null;
}

export function submitCall(submission: ISubmission): string {
  const text = (value: string | null): string => (value === null ? 'None' : pythonString(value));
  return (
    `submit(${text(submission.variable)}, name=${text(submission.name)}, version=${text(submission.version)}, ` +
    `sample=${text(submission.sample)}, transformer=${text(submission.transformer)})`
  );
}
