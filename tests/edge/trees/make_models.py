"""Makes the tree models beside it, which tests/edge/test_trees.py reads; their answers come from onnxruntime there.

    pip install scikit-learn skl2onnx onnxmltools lightgbm xgboost && python tests/edge/trees/make_models.py

Made with scikit-learn 1.9, skl2onnx 1.20, onnxmltools 1.16, LightGBM 4.7 and XGBoost 3.2 on scikit-learn's own breast
cancer, iris and diabetes data.
"""

import sys
from pathlib import Path

import lightgbm
import numpy as np
import onnx
import xgboost
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, Normalizer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

HERE = Path(__file__).parent


def data(load):
    x, y = load(return_X_y=True)
    return x.astype(np.float32), y


def with_gaps(x):
    """A tenth of the values missing."""
    x = x.copy()
    x[np.random.default_rng(0).random(x.shape) < 0.1] = np.nan
    return x


def features(x):
    return [("x", FloatTensorType([None, x.shape[1]]))]


def models():
    cancer, ill = data(load_breast_cancer)
    iris, kind = data(load_iris)
    sugar, progress = data(load_diabetes)
    names = np.array(["setosa", "versicolor", "virginica"])[kind]
    seed = {"random_state": 0}
    yield "sk_forest", RandomForestClassifier(10, max_depth=5, **seed).fit(cancer, ill), cancer
    yield "sk_forest_text_labels", RandomForestClassifier(6, max_depth=4, **seed).fit(iris, names), iris
    yield "sk_boosting", GradientBoostingClassifier(n_estimators=12, **seed).fit(cancer, ill), cancer
    yield "sk_boosting_classes", GradientBoostingClassifier(n_estimators=5, **seed).fit(iris, kind), iris
    yield "sk_tree", DecisionTreeClassifier(max_depth=4, **seed).fit(iris, kind + 7), iris
    scaled = make_pipeline(StandardScaler(), RandomForestClassifier(5, max_depth=4, **seed))
    yield "sk_scaled_forest", scaled.fit(cancer, ill), cancer
    both = np.stack([progress, -progress / 3], axis=1)
    yield "sk_extra_trees_two_targets", ExtraTreesRegressor(6, max_depth=4, **seed).fit(sugar, both), sugar
    yield (
        "sk_boosting_regressor",
        GradientBoostingRegressor(n_estimators=12, **seed).fit(sugar, progress),
        sugar,
    )
    yield "sk_logistic", make_pipeline(StandardScaler(), LogisticRegression()).fit(cancer, ill), cancer
    steps = MinMaxScaler(), Normalizer(), LogisticRegression()
    yield "sk_softmax_text_labels", make_pipeline(*steps).fit(iris, names), iris
    yield "sk_ridge", Ridge().fit(sugar, progress), sugar
    small = {"n_estimators": 10, "num_leaves": 15, "verbose": -1, **seed}
    yield "lightgbm", lightgbm.LGBMClassifier(**small).fit(with_gaps(cancer), ill), cancer
    yield "lightgbm_classes", lightgbm.LGBMClassifier(**small).fit(iris, kind), iris
    yield "lightgbm_regressor", lightgbm.LGBMRegressor(**small).fit(with_gaps(sugar), progress), sugar
    few = {"n_estimators": 10, "max_depth": 4, **seed}
    yield "xgboost", xgboost.XGBClassifier(**few).fit(with_gaps(cancer), ill), cancer
    yield "xgboost_classes", xgboost.XGBClassifier(**few).fit(with_gaps(iris), kind), iris
    yield "xgboost_regressor", xgboost.XGBRegressor(**few).fit(with_gaps(sugar), progress), sugar


def main():
    for name, model, x in models():
        if name.startswith("lightgbm"):
            made = convert_lightgbm(model, initial_types=features(x))
        elif name.startswith("xgboost"):
            made = convert_xgboost(model, initial_types=features(x))
        else:
            made = to_onnx(model, x[:1])
        (HERE / f"{name}.onnx").write_bytes(made.SerializeToString(deterministic=True))
        print(name, (HERE / f"{name}.onnx").stat().st_size, file=sys.stderr)
    assert onnx.__version__


if __name__ == "__main__":
    main()
