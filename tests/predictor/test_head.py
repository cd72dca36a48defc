import warnings

import numpy as np
import pytest
import torch

from sports_clip_pipeline.predictor.head import (
    Head,
    HeadModule,
    Operation,
    add,
    affine,
    blend,
    softmax,
)

RNG = np.random.default_rng(0)


def f32(*values: float) -> np.ndarray:
    return np.asarray(values, dtype=np.float32)


def apply(operation: Operation, values: np.ndarray) -> np.ndarray:
    return Head((operation,))(values)


def every_operation() -> Head:
    """All kinds in one chain, (N, 4) to (N, 3)."""
    return Head(
        (
            Operation("standardise", {"mean": f32(0, 1, 0, -1), "scale": f32(1, 2, 0.5, 1)}),
            Operation("power", {"exponent": np.asarray(0.5, np.float32)}),
            Operation("l2_normalise"),
            affine(RNG.normal(size=(6, 4)), RNG.normal(size=6)),
            Operation("relu"),
            affine(RNG.normal(size=(3, 6)), f32(0, 1, 2)),
        )
    )


def test_each_operation_gives_its_hand_worked_value() -> None:
    x = f32(3, -4)[None]
    assert apply(affine(np.array([[1.0, 0.5]]), np.array([10.0])), x).tolist() == [[11.0]]
    standard = Operation("standardise", {"mean": f32(1, 0), "scale": f32(2, 4)})
    assert apply(standard, x).tolist() == [[1.0, -1.0]]
    root = Operation("power", {"exponent": np.asarray(0.5)})
    assert apply(root, f32(9, -4)[None]).tolist() == [[3.0, -2.0]]
    assert apply(Operation("relu"), x).tolist() == [[3.0, 0.0]]
    rows = np.vstack([x, np.zeros_like(x)])
    normalised = apply(Operation("l2_normalise"), rows)
    np.testing.assert_allclose(normalised, [[0.6, -0.8], [0, 0]], rtol=1e-6)


def test_operations_are_applied_in_order() -> None:
    negate = Operation("affine", {"weight": -np.eye(1), "bias": np.zeros(1)})
    relu = Operation("relu")
    x = f32(2)[None]
    assert Head((relu, negate))(x).tolist() == [[-2.0]]
    assert Head((negate, relu))(x).tolist() == [[0.0]]


def test_unknown_operations_and_wrong_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'tanh'.*known"):
        Operation("tanh")
    with pytest.raises(ValueError, match="'affine'"):
        Operation("affine", {"weight": np.eye(2)})
    with pytest.raises(ValueError, match="'tanh'"):
        Head.from_arrays(["tanh"], {})


def test_softmax_has_its_closed_form_and_is_stable() -> None:
    np.testing.assert_allclose(softmax(np.log([[1.0, 3.0]])), [[0.25, 0.75]], rtol=1e-12)
    np.testing.assert_allclose(softmax(np.array([1e4, 1e4])), [0.5, 0.5])


def test_rows_in_blocks_give_the_same_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    head, x = every_operation(), RNG.normal(size=(64, 4)).astype(np.float32)
    whole = head(x)
    monkeypatch.setattr("sports_clip_pipeline.predictor.head._ROWS", 10)
    np.testing.assert_allclose(head(x), whole, atol=1e-6)
    assert head(x[:0]).shape == (0, 3)


def test_read_only_arrays_are_used_without_warnings() -> None:
    weight, x = np.eye(4, dtype=np.float32), RNG.normal(size=(2, 4)).astype(np.float32)
    weight.setflags(write=False)
    x.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(apply(affine(weight), x), x)


def test_gradients_are_finite_even_at_zero() -> None:
    x = torch.zeros(2, 4, requires_grad=True)
    head = Head((Operation("power", {"exponent": np.asarray(0.5)}), *every_operation().operations))
    HeadModule(head)(x).sum().backward()
    assert bool(torch.isfinite(x.grad).all())


def branching() -> Head:
    """Every kind that `every_operation` leaves out, (N, 4) to (N, 2)."""
    first = Head((Operation("columns", {"start": f32(0)[0], "stop": f32(2)[0]}),))
    second = Head(
        (
            Operation("blocks_l2_normalise", {"widths": f32(1, 3)}),
            Operation("columns", {"start": f32(1)[0], "stop": f32(3)[0]}),
            Operation("affinity", {"sharpness": f32(2)[0]}),
        )
    )
    third = Head((add(first.scaled(2.0), second), Operation("softmax", {"temperature": f32(3)[0]})))
    return blend(first, third)


def test_branches_are_added_as_worked_by_hand() -> None:
    x = f32(3, -4, 0, 5)[None]
    first = Head((Operation("columns", {"start": f32(1)[0], "stop": f32(3)[0]}),))
    assert first(x).tolist() == [[-4.0, 0.0]]
    assert blend(first, first.scaled(-3.0))(x).tolist() == [[8.0, 0.0]]
    blocks = Operation("blocks_l2_normalise", {"widths": f32(2, 2)})
    np.testing.assert_allclose(
        apply(blocks, x), np.array([[0.6, -0.8, 0, 1]]) / np.sqrt(2), rtol=1e-6
    )
    near = Operation("affinity", {"sharpness": f32(2)[0]})
    np.testing.assert_allclose(apply(near, f32(1, 0.5)[None]), [[1.0, np.exp(-1)]], rtol=1e-6)
    even = Operation("softmax", {"temperature": f32(2)[0]})
    np.testing.assert_allclose(apply(even, 2 * np.log([[1.0, 3.0]])), [[0.25, 0.75]], rtol=1e-6)


@pytest.mark.parametrize("head", [every_operation(), branching()])
def test_a_head_is_restored_from_its_arrays(head: Head) -> None:
    x = RNG.normal(size=(16, 4)).astype(np.float32)
    again = Head.from_arrays(head.describe(), head.to_arrays())
    np.testing.assert_array_equal(again(x), head(x))
    assert all(value.dtype == np.float32 for value in head.to_arrays().values())


def test_only_a_sum_has_branches() -> None:
    with pytest.raises(ValueError, match="only sum has some"):
        Operation("relu", branches=(branching(),))
    with pytest.raises(ValueError, match="0 branches"):
        Operation("sum")


def test_an_affine_head_has_its_weight_as_gradient() -> None:
    weight = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    module = HeadModule(Head((Operation("affine", {"weight": weight, "bias": np.zeros(2)}),)))
    x = torch.ones(1, 2, requires_grad=True)
    module(x)[0, 1].backward()
    assert x.grad.tolist() == [[3.0, 4.0]]


def test_a_module_shares_the_memory_of_the_arrays() -> None:
    operation = affine(np.ones((2, 3), np.float32))
    module = Head((operation,)).module
    assert np.shares_memory(module.state_dict()["0.weight"].numpy(), operation.arrays["weight"])


def test_parameters_are_buffers_and_move_with_the_module() -> None:
    operation = Operation("standardise", {"mean": np.zeros(2), "scale": np.ones(2)})
    module = HeadModule(Head((operation,))).double()
    assert not list(module.parameters())
    assert module(torch.zeros(1, 2, dtype=torch.float64)).dtype == torch.float64
