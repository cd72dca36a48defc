from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sports_clip_pipeline.fewshot.logreg_tower import NEVER, _affine


def test_two_of_four_classes_give_sklearns_probabilities_and_no_chance_to_the_unseen() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 3)).astype(np.float32)
    target = np.where(features[:, 0] > 0, 3, 1)
    model = LogisticRegression().fit(features, target)
    logits = _affine(model, 4)(features)
    assert set(logits.argmax(axis=1)) == {1, 3}
    assert (logits[:, [0, 2]] == NEVER).all()
    np.testing.assert_allclose(
        logits[:, 3] - logits[:, 1], model.decision_function(features), atol=1e-5
    )
