"""What an engine computes in is read from the engine, in every generation's own words."""

from __future__ import annotations

import json

import pytest

from contract.errors import CheckError, EngineError
from contract.precision import Precision
from export.plan_statistics import (
    PlanStatistics,
    require_precision,
    statistics_from_inspector,
    statistics_from_rtx_plan,
)

RTX = b"""\x00\xff\x01binary
descriptors {
  tensor={ alignment=128 dims={ 1 3 8 8 } mem_prop=100 name="pixels" offset=0 type=int8 }
  tensor={ alignment=128 dims={ 8 3 3 3 } mem_prop=100 name="weight" offset=0 type=int8 }
  tensor={ alignment=128 dims={ 1 8 8 8 } mem_prop=100 name="halves" offset=0 type=half }
  tensor={ alignment=128 dims={ 8 8 3 3 } mem_prop=100 name="half weight" offset=0 type=half }
}
  corrltn={ name="not in the plan" output={"halves" } input={"halves" "half weight" } stream=0 }
main {
  function={ name="cast" output={"pixels" } input={"frames" } stream=0 }
  corrltn={ name="one" output={"halves" } input={"pixels" "weight" "bias" } stream=0 }
  corrltn={ name="two" output={"halves" } input={"halves" "half weight" } stream=0 }
  corrltn={ name="three" output={"halves" } input={"halves" "weight" } stream=0 }
  maxpool={ name="pool" output={"halves" } input={"pixels" "weight" } stream=0 }
}
"""


def test_rtx_plan_counts_convolutions_by_both_operands():
    found = statistics_from_rtx_plan(RTX)
    assert found == PlanStatistics(int8=1, fp16=1, fp32=0, other=1)
    assert str(found) == "3 convolutions: 1 INT8, 1 FP16, 1 other"


def test_engine_without_a_readable_plan_is_an_error_not_a_zero():
    with pytest.raises(EngineError, match="no readable plan"):
        statistics_from_rtx_plan(b"\x00" * 100)


# One INT8, one FP16 and one FP32 convolution and a layer that is none, as reports name them.
TENSORRT_8 = [
    {
        "Name": "conv1 + relu1",
        "LayerType": "CaskConvolution",
        "ParameterType": "Convolution",
        "Inputs": [{"Format/Datatype": "Thirty-two wide channel vectorized row major Int8 format"}],
        "Weights": {"Type": "Int8", "Count": 864},
        "TacticName": "ampere_int8_i8816cudnn_int8",
    },
    {
        "Name": "conv2",
        "LayerType": "CaskConvolution",
        "ParameterType": "Convolution",
        "Inputs": [{"Format/Datatype": "Channel major FP16 format where channel % 8 == 0"}],
        "Weights": {"Type": "Half", "Count": 864},
    },
    {"Name": "head", "LayerType": "CaskConvolution", "Weights": {"Type": "Float", "Count": 48}},
    {
        "Name": "quantize",
        "LayerType": "Reformat",
        "ParameterType": "Reformat",
        "Outputs": [{"Format/Datatype": "Row major Int8 format"}],
    },
]
TENSORRT_10 = [
    {
        "Name": "__myl_ConvAddRelu_myl0_3",
        "LayerType": "fusion",
        "TacticName": "sm80_xmma_fprop_implicit_gemm_interleaved_i8i8_i8i32_f32",
        "Metadata": "[ONNX Layer: node_Conv_70]\x1e[ONNX Layer: node_relu]",
        "Inputs": [{"Format/Datatype": "Int8"}],
    },
    {
        "Name": "conv",
        "LayerType": "gemm",
        "TacticName": "sm80_xmma_fprop_f16f16_f16f16_f16",
        "Metadata": "[ONNX Layer: node_Conv_71]",
        "Inputs": [{"Format/Datatype": "Half"}],
    },
    {
        "Name": "head",
        "LayerType": "CaskGemmConvolution",
        "Inputs": [{"Format/Datatype": "Row major linear FP32"}],
    },
    {
        "Name": "__myl_CastMul",
        "LayerType": "kgen",
        "TacticName": "pointwise",
        "Metadata": "[ONNX Layer: node_Conv_70]",
        "Inputs": [{"Format/Datatype": "Int8"}],
    },
]
TENSORRT_11 = [
    {
        "Name": "conv1",
        "LayerType": "conv",
        "ParameterType": "Convolution",
        "Inputs": [{"Format": "Linear", "DataType": "Int8"}],
    },
    {
        "Name": "conv2",
        "LayerType": "conv",
        "ParameterType": "Convolution",
        "Inputs": [{"Format": "Linear", "DataType": "Half"}],
    },
    {
        "Name": "conv3",
        "LayerType": "conv",
        "ParameterType": "Convolution",
        "Inputs": [{"Format": "Linear", "DataType": "Float"}],
    },
]


@pytest.mark.parametrize("layers", [TENSORRT_8, TENSORRT_10, TENSORRT_11])
def test_inspector_reports_of_every_generation_are_counted_alike(layers):
    report = json.dumps({"Layers": layers, "Bindings": ["frames", "mask", "score"]})
    assert statistics_from_inspector(report) == PlanStatistics(int8=1, fp16=1, fp32=1, other=0)


def test_quantised_input_of_a_float_convolution_is_not_an_int8_convolution():
    layer = TENSORRT_8[0] | {"Weights": {"Type": "Float", "Count": 864}}
    assert statistics_from_inspector(json.dumps({"Layers": [layer]})).int8 == 0


@pytest.mark.parametrize("report", ["", "{}", '{"Layers": ["conv1", "conv2"]}', '{"Layers": []}'])
def test_report_that_tells_nothing_is_an_error_not_a_zero(report):
    with pytest.raises(EngineError):
        statistics_from_inspector(report)


@pytest.mark.parametrize("precision", list(Precision))
def test_engine_without_a_convolution_of_the_asked_precision_is_refused(precision):
    counts = {"int8": 5, "fp16": 5, "fp32": 5, "other": 0}
    require_precision(PlanStatistics(**counts), precision)
    counts[str(precision)] = 0
    with pytest.raises(CheckError, match=f"asked for {precision}.*10 convolutions"):
        require_precision(PlanStatistics(**counts), precision)
