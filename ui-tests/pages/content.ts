/** A notebook with these code cells, as its file's text. */
export function notebook(...cells: string[]): string {
  return JSON.stringify({
    cells: cells.map((source, index) => ({
      cell_type: 'code',
      id: `cell-${index}`,
      execution_count: null,
      metadata: {},
      outputs: [],
      source
    })),
    metadata: {
      kernelspec: { display_name: 'Python 3 (ipykernel)', language: 'python', name: 'python3' },
      language_info: { name: 'python' }
    },
    nbformat: 4,
    nbformat_minor: 5
  });
}

/** A small model on real data, for what is not about the quickstart itself. */
export const TRAIN = [
  'from sklearn.datasets import load_breast_cancer',
  'from sklearn.linear_model import LogisticRegression',
  'from sklearn.pipeline import make_pipeline',
  'from sklearn.preprocessing import StandardScaler',
  'data = load_breast_cancer(as_frame=True)',
  'X_train, y_train = data.data, data.target_names[data.target]',
  'model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(X_train, y_train)'
].join('\n');
