import numpy as np
import pytest
import torch

from sports_clip_pipeline.clip.projections import (
    IMAGE,
    TEXT,
    NotebookHead,
    Projections,
    identity_projections,
    projections_of,
    state_of,
    unit_norm,
)

RNG = np.random.default_rng(0)


def notebook_state() -> dict[str, np.ndarray]:
    torch.manual_seed(0)
    state = {"logit_scale": np.float32(2.0)}
    for prefix, width in ((IMAGE, 6), (TEXT, 5)):
        head = NotebookHead(width, 4)
        with torch.no_grad():
            head.layer_norm.weight.uniform_(0.5, 2.0)
            head.layer_norm.bias.uniform_(-1.0, 1.0)
        state |= {f"{prefix}{name}": value.numpy() for name, value in head.state_dict().items()}
    return state


def linear() -> Projections:
    weights = (RNG.normal(size=shape).astype(np.float32) for shape in ((4, 6), (4,), (4, 5)))
    return Projections(*weights, logit_scale=2.0, logit_bias=-1.5)


@pytest.mark.parametrize("given", [linear(), projections_of(notebook_state())])
def test_a_models_state_gives_them_back(given: Projections) -> None:
    again = projections_of(state_of(given))
    features = RNG.normal(size=(7, 6)).astype(np.float32)
    texts = RNG.normal(size=(7, 5)).astype(np.float32)
    np.testing.assert_array_equal(
        again.image_embeddings(features), given.image_embeddings(features)
    )
    np.testing.assert_array_equal(again.text_embeddings(texts), given.text_embeddings(texts))
    assert (again.logit_scale, again.logit_bias) == (given.logit_scale, given.logit_bias)
    assert again.linear == given.linear


def test_projections_agree_with_the_notebook_head() -> None:
    state = notebook_state()
    head = NotebookHead(6, 4).eval()
    own = {k.removeprefix(IMAGE): torch.tensor(v) for k, v in state.items() if k.startswith(IMAGE)}
    head.load_state_dict(own)
    features = RNG.normal(size=(7, 6)).astype(np.float32)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(head(torch.from_numpy(features)), dim=1)
    found = projections_of(state).image_embeddings(features)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


def test_projections_of_a_pair_are_the_identity() -> None:
    found = identity_projections(3, 4.0, None)
    np.testing.assert_allclose(found.image_embeddings(np.array([[3.0, 0.0, 4.0]])), [[0.6, 0, 0.8]])
    again = projections_of({"logit_scale": np.float32(4.0)}, pair_width=3)
    np.testing.assert_array_equal(again.image_weight, np.eye(3))


def test_unit_norm_divides_rows_by_their_norm_and_keeps_zeros_shape_and_type() -> None:
    values = np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0]])
    np.testing.assert_allclose(unit_norm(values), [[0.6, 0.8], [0.0, 0.0], [0.0, -1.0]])
    assert unit_norm(np.array([3.0, 4.0], np.float32)).tolist() == np.float32([0.6, 0.8]).tolist()
    matrices = np.ones((2, 3, 4), np.float32)
    assert unit_norm(matrices).dtype == np.float32
    np.testing.assert_array_equal(unit_norm(matrices), np.full((2, 3, 4), 0.5))
