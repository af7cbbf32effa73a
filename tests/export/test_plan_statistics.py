"""What an engine computes in is read from the engine, in every generation's own words."""

from __future__ import annotations

import json

import pytest

from contract.errors import EngineError
from export.inspector_report import reading_from_inspector
from export.plan_statistics import statistics_of
from export.rtx_plan import reading_from_rtx_plan

# ruff: noqa: E501 - lines as an engine holds them

RTX = b"""\x00\xff\x01binary
  region = { name=devmem size=4096 alignment=128 instance=0 }
descriptors {
  tensor={ alignment=128 dims={ 1 3 8 8 } mem_prop=100 name="pixels" offset=0 type=int8 }
  tensor={ alignment=128 const_payload_size=216 dims={ 8 3 3 3 } name="weight" type=int8 }
  tensor={ alignment=128 dims={ 1 8 8 8 } mem_prop=100 name="halves" offset=0 type=half }
  sub_tensor={ base="halves" dims={ 1 4 8 8 } mem_prop=100 name="half of them" type=half }
  tensor={ const_payload_size=1152 dims={ 8 8 3 3 } name="half weight" offset=0 type=half }
}
  corrltn={ name="not in the plan" output={"halves" } input={"halves" "half weight" } stream=0 }
main {
  signal={ name="__mye7" stream=0 event=7 layers="" }
  function={ name=__myl_MulMinMaxRounCast fqn=__myl_0xb9 input_args={ "halves" } shape_args_count=0 output_args={ "pixels" } layers="[ONNX Layer: x_q]" }
  corrltn={ name="one" output={"halves" } input={"pixels" "weight" "bias" } stream=0 layers="[ONNX Layer: conv_1][ONNX Layer: relu_1]" }
  corrltn={ name="two" output={"halves" } input={"halves" "half weight" } stream=0 }
  corrltn={ name="three" output={"halves" } input={"halves" "weight" } stream=0 }
  runtime_fusion={ name=__myl_CorrCast input_args={ "pixels" "weight" } output_args={ "halves" } layers="[ONNX Layer: head]" backbone=conv }
  maxpool={ name="pool" output={"halves" } input={"pixels" "weight" } stream=0 }
  function={ name=__myl_TranCast fqn=__myl_0xb8 input_args={ "half of them" } output_args={ "pixels" } }
}
  corrltn={ name="of another plan" output={"halves" } input={"pixels" "weight" } stream=0 }
"""


def test_rtx_plan_counts_convolutions_by_both_operands():
    found = statistics_of(reading_from_rtx_plan(RTX))
    assert (found.int8, found.fp16, found.fp32, found.other) == (2, 1, 0, 1)
    assert (found.reformats, found.quantise_passes, found.layers) == (1, 1, 7)
    assert str(found).startswith("4 convolutions: 2 INT8, 1 FP16, 1 other; 7 layers")


def test_rtx_plan_tells_each_layers_nodes_types_and_bytes():
    reading = reading_from_rtx_plan(RTX)
    assert reading.scratch_bytes == 4096
    convolution = reading.layers[1]
    assert (convolution.kind, convolution.nodes) == ("convolution", ("conv_1", "relu_1"))
    assert convolution.fused
    assert (convolution.inputs, convolution.outputs) == (("int8", ""), ("fp16",))
    assert convolution.weight_bytes == 8 * 3 * 3 * 3
    reformat = reading.layers[-1]
    assert reformat.moved_bytes == 4 * 64 * 2 + 3 * 64


def test_engine_without_a_readable_plan_is_an_error_not_a_zero():
    with pytest.raises(EngineError, match="no readable plan"):
        reading_from_rtx_plan(b"\x00" * 100)


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


def counts(layers):
    report = json.dumps({"Layers": layers, "Bindings": ["frames", "mask", "score"]})
    return statistics_of(reading_from_inspector(report))


@pytest.mark.parametrize("layers", [TENSORRT_8, TENSORRT_10, TENSORRT_11])
def test_inspector_reports_of_every_generation_are_counted_alike(layers):
    found = counts(layers)
    assert (found.int8, found.fp16, found.fp32, found.other) == (1, 1, 1, 0)


def test_quantised_input_of_a_float_convolution_is_not_an_int8_convolution():
    assert counts([TENSORRT_8[0] | {"Weights": {"Type": "Float", "Count": 864}}]).int8 == 0


def test_layers_without_work_are_counted_by_what_they_do():
    def idle(**facts):
        found = counts([facts])
        return found.reformats, found.quantise_passes

    assert idle(Name="Reformatting CopyNode for Input Tensor 0 to conv1") == (1, 0)
    assert idle(Name="x", LayerType="Reformat", Origin="REFORMAT") == (1, 0)
    assert idle(Name="x", LayerType="Reformat", Origin="QDQ") == (0, 1)
    assert idle(Name="__myl_TranCast_myl0_2", LayerType="kgen") == (1, 0)
    assert idle(Name="__myl_MulMinMaxRounCast_myl0_2", LayerType="kgen") == (0, 1)
    assert idle(Name="__myl_ResiConc_myl0_2", LayerType="kgen") == (0, 0)


def test_nodes_come_from_the_metadata_or_from_the_joined_name():
    [one] = reading_from_inspector(json.dumps({"Layers": [TENSORRT_8[0]]})).layers
    assert one.nodes == ("conv1", "relu1")
    [one] = reading_from_inspector(json.dumps({"Layers": [TENSORRT_10[0]]})).layers
    assert one.nodes == ("node_Conv_70", "node_relu")


@pytest.mark.parametrize("report", ["", "{}", '{"Layers": ["conv1", "conv2"]}', '{"Layers": []}'])
def test_report_that_tells_nothing_is_an_error_not_a_zero(report):
    with pytest.raises(EngineError):
        reading_from_inspector(report)
