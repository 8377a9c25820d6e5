"""The linear model that every figure of ours is shown beside.

TF-IDF of words and word pairs with logistic regression: half a minute, and on IMDB better than
most recurrent networks in tutorials.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from rnnpipe.params import Baseline


def fit_baseline(texts: Sequence[str], labels: NDArray[np.int8], params: Baseline) -> Pipeline:
    """Fit the linear model.

    Args:
        texts: training texts, ``n`` of them.
        labels: ``int8[n]``, 0 or 1.
        params: features and regularisation.
    """
    vectorizer = TfidfVectorizer(
        ngram_range=(1, params.max_ngram),
        min_df=params.min_documents,
        sublinear_tf=True,
        dtype=np.float32,
    )
    regression = LogisticRegression(
        C=params.inverse_regularization, solver="liblinear", random_state=0
    )
    return make_pipeline(vectorizer, regression).fit(texts, labels)


def predict_baseline(model: Pipeline, texts: Sequence[str]) -> NDArray[np.float64]:
    """Give the probability of label 1 for each text, ``float64[n]``."""
    return np.asarray(model.predict_proba(texts)[:, 1], np.float64)
