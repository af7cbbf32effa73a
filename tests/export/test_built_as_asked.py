"""Precision asked is precision built: an engine that differs is refused, naming layer and cause."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contract.errors import CheckError
from contract.precision import Precision
from export.built_as_asked import (
    AskedConvolution,
    default_max_reformats,
    require_as_asked,
    require_few_reformats,
)
from export.engine_layers import EngineLayer, EngineReading

ASKED = [
    AskedConvolution("stem", "fp16", 3, 64, whole_pair=False),
    AskedConvolution("conv_1", "int8", 64, 64, whole_pair=True),
    AskedConvolution("conv_2", "int8", 64, 3, whole_pair=True),
]


def layer(name, precision, kind="convolution", inputs=("int8",), outputs=("fp16",)):
    return EngineLayer(name, kind, precision, inputs, outputs, (name, "relu"), None, None, "")


def reading(*layers):
    return EngineReading(layers, None)


BUILT = (layer("stem", "fp16"), layer("conv_1", "int8"), layer("conv_2", "int8"))


def test_engine_that_is_as_asked_is_taken():
    require_as_asked(reading(*BUILT), ASKED, Precision.INT8, weakly_typed=False)


@pytest.mark.parametrize("kind", ["fp32", "fp16", "mixed", ""])
def test_one_int8_layer_that_runs_in_another_type_is_named_with_its_cause(kind):
    wrong = (BUILT[0], layer("conv_1", kind), BUILT[2])
    with pytest.raises(CheckError, match=r"1 of 3 .*conv_1 runs in .*64 -> 64 channels; this GPU"):
        require_as_asked(reading(*wrong), ASKED, Precision.INT8, weakly_typed=False)


def test_causes_are_told_apart():
    def cause(**changes):
        asked = [ASKED[0], replace(ASKED[1], **changes), ASKED[2]]
        built = (BUILT[0], layer("conv_1", "fp16", inputs=("fp16",)), BUILT[2])
        with pytest.raises(CheckError) as error:
            require_as_asked(reading(*built), asked, Precision.INT8, weakly_typed=False)
        return str(error.value)

    assert "only one of its input and its weights" in cause(whole_pair=False)
    assert "too few for an INT8 kernel" in cause(inputs=3)
    assert "was not fused" in cause()


def test_remainder_that_fell_back_to_fp32_is_refused_where_types_are_strong_only():
    slow = reading(layer("stem", "fp32"), *BUILT[1:])
    with pytest.raises(CheckError, match="stem runs in FP32"):
        require_as_asked(slow, ASKED, Precision.INT8, weakly_typed=False)
    require_as_asked(slow, ASKED, Precision.INT8, weakly_typed=True)


def test_layer_that_cannot_be_found_counts_against_the_engine_unless_the_numbers_agree():
    renamed = reading(BUILT[0], BUILT[1], layer("fused beyond recognition", "int8"))
    require_as_asked(renamed, ASKED, Precision.INT8, weakly_typed=False)
    with pytest.raises(CheckError, match="conv_2 cannot be found"):
        require_as_asked(reading(*BUILT[:2]), ASKED, Precision.INT8, weakly_typed=False)


def test_weakly_typed_engine_without_a_layer_of_the_precision_is_refused():
    plain = [AskedConvolution("stem", "fp32", 3, 64, whole_pair=False)]
    with pytest.raises(CheckError, match="no fp16 convolution"):
        require_as_asked(reading(layer("stem", "fp32")), plain, Precision.FP16, weakly_typed=True)


def test_too_many_layers_without_work_are_refused_naming_them_and_why():
    idle = (
        layer("a", "int8", "reformat", ("int8",), ("fp16",)),
        layer("b", "fp16", "quantise", ("fp16",), ("int8",)),
        layer("c", "fp16", "reformat", ("fp16",), ("fp16",)),
    )
    require_few_reformats(reading(*BUILT, *idle), 3)
    with pytest.raises(CheckError) as error:
        require_few_reformats(reading(*BUILT, *idle), 2)
    said = str(error.value)
    assert "3 layers that only copy, cast or rescale, 2 may be" in said
    assert "a (int8 -> fp16: a layer between INT8 layers is not quantised)" in said
    assert "b (fp16 -> int8: what gives its input writes no INT8 itself" in said
    assert "c (fp16 -> fp16: the layers beside it want different layouts)" in said
    assert "\n" not in said
    assert default_max_reformats(ASKED) == 8
