/** What `kale_serve_lab.notebook` answers, key for key. */
import type { IArtifact, IErrorBody, ISession } from '../api';

export interface IFoundModel {
  variable: string;
  class_name: string;
  framework: string;
  /** "RandomForestClassifier, fitted on X_train (455 x 30)" */
  summary: string;
  fitted: boolean;
  /** Whether the cell that was asked about assigns it. */
  in_cell: boolean;
  /** Proposed name and version. */
  name: string;
  version: string;
  /** Versions of that name that exist already. */
  versions: string[];
  sample: IFoundSample | null;
  /** Variables that could give the sample. */
  candidates: string[];
  /** Why it cannot be served; null where it can. */
  problem: string | null;
}

export interface IFoundSample {
  variable: string;
  rows: number;
  text: string;
}

export interface IFoundTransformer {
  variable: string | null;
  name: string;
  /** Set where it has been submitted already. */
  id: number | null;
}

export interface IFindings {
  models: IFoundModel[];
  transformers: IFoundTransformer[];
  session: ISession | null;
  error: IErrorBody | null;
}

export interface ISubmitted {
  artifact: IArtifact;
  transformer: IArtifact | null;
  stages: { name: string; seconds: number }[];
}
