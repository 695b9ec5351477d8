"""Calibration and test files: streamed in bounded memory, and refused with everything that is wrong."""

from __future__ import annotations

import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_models import draw

from trine.compilers.examples import Examples
from trine.compilers.graph import Tensor
from trine.devices.errors import InputError

BEAT, RR = Tensor("beat", (1, 64)), Tensor("rr", (2,))


def save(folder: Path, compressed: bool = False, **arrays: Any) -> Path:
    (np.savez_compressed if compressed else np.savez)(folder / "data.npz", **arrays)
    return folder / "data.npz"


def refusal(path: Path, *inputs: Tensor, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        Examples.open(path, inputs, **options)
    return str(caught.value)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_batches_are_the_arrays_in_order(compressed: bool, size: int, tmp_path: Path) -> None:
    beat, rr = draw(1, 23, 1, 64), draw(2, 23, 2)
    labels, group = np.arange(23) % 5, np.repeat([101, 106], [10, 13])
    path = save(
        tmp_path, compressed, beat=beat, rr=rr, y=labels, group=group, classes=np.array(list("NSVFQ"))
    )
    examples = Examples.open(path, [BEAT, RR], require_varied=True)
    batches = list(examples.batches(size))
    assert examples.count == 23
    np.testing.assert_array_equal(np.concatenate([b["beat"] for b in batches]), beat)
    np.testing.assert_array_equal(np.concatenate([b["rr"] for b in batches]), rr)
    assert {len(b["beat"]) for b in batches[:-1]} <= {size}
    assert examples.labels is not None
    assert examples.group is not None
    np.testing.assert_array_equal(examples.labels, labels)
    np.testing.assert_array_equal(examples.group, group)
    assert examples.classes == ("N", "S", "V", "F", "Q")
    assert sum(len(b["rr"]) for b in examples.batches(size, limit=9)) == 9


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f4", "i1", "i4", "i8", "u1", "u2", "?"])
def test_numbers_of_any_kind_become_float32(kind: str, tmp_path: Path) -> None:
    values = (np.arange(12).reshape(6, 2) % 2).astype(kind)
    (batch,) = Examples.open(save(tmp_path, rr=values), [RR]).batches()
    assert batch["rr"].dtype == np.float32
    np.testing.assert_array_equal(batch["rr"], values.astype(np.float32))


def test_an_array_named_x_does_for_a_single_input_only(tmp_path: Path) -> None:
    path = save(tmp_path, x=draw(1, 5, 2))
    assert Examples.open(path, [RR]).count == 5
    assert Examples.open(path, [RR]).labels is None
    message = refusal(path, RR, BEAT)
    assert "no array for input rr" in message
    assert "no array for input beat" in message


def test_one_value_an_example(tmp_path: Path) -> None:
    (batch,) = Examples.open(save(tmp_path, x=draw(1, 5)), [Tensor("rate", ())]).batches()
    assert batch["rate"].shape == (5,)


def peak(path: Path) -> int:
    tracemalloc.start()
    try:
        examples = Examples.open(path, [BEAT], require_varied=True)
        total = sum(float(batch["beat"].sum()) for batch in examples.batches())
        assert np.isfinite(total)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compressed", [False, True])
def test_memory_does_not_grow_with_the_examples(compressed: bool, tmp_path: Path) -> None:
    small = peak(save(tmp_path, compressed, beat=draw(1, 1000, 1, 64), y=np.zeros(1000)))
    many = draw(2, 50000, 1, 64)
    large = peak(save(tmp_path, compressed, beat=many, y=np.zeros(50000)))
    assert large < 1.1 * small
    assert large < many.nbytes / 10


def test_what_is_no_npz(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.npz", BEAT)
    path = tmp_path / "data.npz"
    path.write_bytes(b"")
    assert "not an .npz" in refusal(path, BEAT)
    np.save(tmp_path / "one.npy", draw(1, 5, 2))
    assert "not an .npz" in refusal(tmp_path / "one.npy", RR)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rr.npy", "not an array")
    assert "array rr is damaged" in refusal(path, RR)
    with zipfile.ZipFile(path, "w"):
        pass
    assert "holds no arrays" in refusal(path, RR)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_a_file_cut_short(kept: float, tmp_path: Path) -> None:
    path = save(tmp_path, beat=draw(1, 50, 1, 64))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    assert "truncated" in refusal(path, BEAT)


@pytest.mark.parametrize("compressed", [False, True])
def test_an_array_cut_short_or_damaged_inside_a_whole_archive(compressed: bool, tmp_path: Path) -> None:
    path = save(tmp_path, beat=draw(1, 600, 1, 64))
    member = zipfile.ZipFile(path).read("beat.npy")
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("beat.npy", member[:-400])
    assert "array beat is damaged: it breaks off" in refusal(path, BEAT)
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("beat.npy", member[:-8])
    with pytest.raises(InputError, match="array beat cannot be read to its end"):
        list(Examples.open(path, [BEAT]).batches())
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("beat.npy", member)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InputError, match="array beat"):
        list(Examples.open(path, [BEAT]).batches())


def test_a_name_that_is_not_there_offers_the_nearest(tmp_path: Path) -> None:
    assert "did you mean beats?" in refusal(save(tmp_path, beats=draw(1, 5, 1, 64), other=draw(2, 5)), BEAT)


def test_wrong_shapes(tmp_path: Path) -> None:
    message = refusal(save(tmp_path, beat=draw(1, 5, 64), rr=draw(2, 2)), BEAT, RR)
    assert "array beat has shape (5, 64), input beat wants (examples, 1, 64)" in message
    assert "array rr has shape (2,)" in message
    assert "lack the axis of examples" in message
    assert "wants (examples,)" in refusal(save(tmp_path, x=np.float32(1)), Tensor("rate", ()))


class Trap:
    """Unpickling this would be noticed."""

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return (pytest.fail, ("the file was unpickled",))


def test_wrong_kinds_and_nothing_is_unpickled(tmp_path: Path) -> None:
    trap = np.array([[Trap(), Trap()]] * 3, dtype=object)
    message = refusal(save(tmp_path, beat=np.full((3, 1, 64), "a"), rr=trap, y=trap[:, 0]), BEAT, RR)
    assert "array beat holds <U1" in message
    assert "array rr holds Python objects, which are never unpickled" in message
    assert "array y holds Python objects" in message
    assert "complex64" in refusal(save(tmp_path, rr=np.zeros((3, 2), np.complex64)), RR)
    assert "holds" in refusal(save(tmp_path, rr=np.zeros((3, 2), "datetime64[s]")), RR)
    assert "holds" in refusal(save(tmp_path, rr=np.zeros((3, 2), [("a", "f4")])), RR)


def test_no_examples_and_counts_that_differ(tmp_path: Path) -> None:
    assert "is empty" in refusal(save(tmp_path, rr=np.zeros((0, 2))), RR)
    path = save(tmp_path, beat=draw(1, 5, 1, 64), rr=draw(2, 6, 2), y=np.zeros(7), group=np.zeros(5))
    assert "differ in their number of examples: beat 5, group 5, rr 6, y 7" in refusal(path, BEAT, RR)


def test_column_first_arrays_are_refused_with_the_remedy(tmp_path: Path) -> None:
    assert "ascontiguousarray" in refusal(save(tmp_path, rr=np.asfortranarray(draw(1, 5, 2))), RR)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_nan_and_infinity_are_found_where_they_are(value: float, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(700, 2))
    values[513, 1] = value
    path = save(tmp_path, rr=values)
    with pytest.raises(InputError, match="array rr, example 513"):
        list(Examples.open(path, [RR]).batches())
    assert "array rr, example 513" in refusal(path, RR, require_varied=True)
    assert len(list(Examples.open(path, [RR]).batches(100, limit=500))) == 5


def test_a_constant_input_cannot_calibrate(tmp_path: Path) -> None:
    path = save(tmp_path, beat=draw(1, 300, 1, 64), rr=np.tile(np.float32([0.8, 0.9]), (300, 1)))
    message = refusal(path, BEAT, RR, require_varied=True)
    assert "array rr (input rr) is constant: all 300 examples are equal" in message
    assert "beat" not in message
    assert Examples.open(path, [BEAT, RR]).count == 300
    assert "constant" in refusal(save(tmp_path, rr=np.zeros((1, 2))), RR, require_varied=True)
    assert Examples.open(save(tmp_path, rr=draw(1, 1, 2)), [RR], require_varied=True).count == 1


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    message = refusal(save(tmp_path, beat=draw(1, 5, 64), y=np.zeros(4)), BEAT, RR)
    assert "array beat has shape" in message
    assert "no array for input rr" in message
    assert "differ in their number" in message
