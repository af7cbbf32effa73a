"""The opset is read from an ONNX file's bytes without the onnx package."""

from __future__ import annotations

import onnx
import pytest

from contract.errors import InputError
from export.onnx_opset import opset_from_onnx
from tests.export.graphs import quantised_graph


@pytest.mark.parametrize("opset", [17, 19])
def test_opset_is_the_one_that_onnx_reads(opset):
    assert opset_from_onnx(quantised_graph(opset=opset)) == opset


def test_opset_of_another_domain_is_passed_over():
    model = onnx.load_from_string(quantised_graph())
    standard = model.opset_import[0].version
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    model.opset_import.append(onnx.helper.make_opsetid("", standard))
    assert opset_from_onnx(model.SerializeToString()) == standard


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"\x08", quantised_graph()[:500]])
def test_what_is_no_onnx_file_is_said_to_be_none(data):
    with pytest.raises(InputError, match="not an ONNX file"):
        opset_from_onnx(data)
