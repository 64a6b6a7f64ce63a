"""What the images kserve-sklearnserver, -xgbserver, -lgbserver and -pmmlserver run: FORMAT ARGS, the args being the runtime's own.

KServe publishes these servers as images only. Here is how each of them finds and loads its model, on KServe's own ModelServer
and its own command line; nothing of Kale Serve Lab is imported, and nothing is known of its files.
"""

from __future__ import annotations

import argparse
import os
import sys

import kserve
from kserve.errors import ModelMissingError
from kserve.utils.utils import get_predict_input, get_predict_response

FORMAT = sys.argv.pop(1)
SUFFIXES = {
    "sklearn": (".joblib", ".pkl", ".pickle"),
    "xgboost": (".bst", ".json", ".ubj"),
    "lightgbm": (".bst",),
    "pmml": (".pmml",),
}[FORMAT]

parser = argparse.ArgumentParser(parents=[kserve.model_server.parser], conflict_handler="resolve")
parser.add_argument("--model_dir", required=True)
parser.add_argument("--nthread", default=1, type=int)
args, _ = parser.parse_known_args()


class Served(kserve.Model):
    def load(self):
        found = [
            os.path.join(args.model_dir, name)
            for name in os.listdir(args.model_dir)
            if os.path.isfile(os.path.join(args.model_dir, name)) and name.endswith(SUFFIXES)
        ]
        if not found:
            raise ModelMissingError(args.model_dir)
        if len(found) > 1:
            raise RuntimeError(
                f"More than one model file is detected, Only one is allowed within model_dir: {found}"
            )
        self.answer = globals()[f"_{FORMAT}"](found[0])
        self.ready = True
        return self.ready

    def predict(self, payload, headers=None, response_headers=None):
        return get_predict_response(payload, self.answer(get_predict_input(payload)), self.name)


def _sklearn(path):
    import joblib

    return joblib.load(path).predict


def _xgboost(path):
    import xgboost

    booster = xgboost.Booster(params={"nthread": args.nthread}, model_file=path)
    return lambda given: booster.predict(xgboost.DMatrix(given, nthread=args.nthread))


def _lightgbm(path):
    import lightgbm

    return lightgbm.Booster(params={"nthread": args.nthread}, model_file=path).predict


def _pmml(path):
    import pandas as pd
    from jpmml_evaluator import make_evaluator
    from jpmml_evaluator.py4j import Py4JBackend

    evaluator = make_evaluator(path, Py4JBackend()).verify()
    fields = [one.getName() for one in evaluator.getInputFields()]
    return lambda given: pd.DataFrame([evaluator.evaluate(dict(zip(fields, row))) for row in given])


served = Served(args.model_name)
served.load()
kserve.ModelServer(workers=1).start([served])
