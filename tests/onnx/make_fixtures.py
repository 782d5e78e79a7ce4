#!/usr/bin/env python3
"""Writes tests/onnx/fixtures: small ONNX files, good ones with inputs and results, and bad ones. Needs PyPI's onnx."""
import json
import os
import struct

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
rng = np.random.default_rng(1)


def values(*shape):
    return (rng.standard_normal(shape) * 0.5).astype(np.float32)


def constant(name, x):
    return numpy_helper.from_array(np.asarray(x), name)


def model(nodes, inputs, outputs, constants, opset=18):
    info = [helper.make_tensor_value_info(n, TensorProto.INT64 if t == "i" else TensorProto.FLOAT, s) for n, t, s in inputs]
    outs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs]
    graph = helper.make_graph(nodes, "main_graph", info, outs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def save_tensors(path, tensors):
    head, blob = {}, b""
    for name, x in tensors.items():
        raw = np.ascontiguousarray(x).tobytes()
        kind = {"float32": "F32", "int64": "I64"}[x.dtype.name]
        head[name] = {"dtype": kind, "shape": list(x.shape), "data_offsets": [len(blob), len(blob) + len(raw)]}
        blob += raw
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + blob)


def good(name, m, **inputs):
    onnx.checker.check_model(m)
    path = os.path.join(folder, name)
    onnx.save(m, path + ".onnx")
    results = ReferenceEvaluator(m).run(None, inputs)
    save_tensors(path + ".in", inputs)
    save_tensors(path + ".out", {str(i): np.asarray(r) for i, r in enumerate(results)})


def node(op, inputs, outputs, name=None, **attributes):
    return helper.make_node(op, inputs, outputs, name=name or outputs[0], **attributes)


def bad(name, m):
    with open(os.path.join(folder, name + ".onnx"), "wb") as f:
        f.write(m if isinstance(m, bytes) else m.SerializeToString())


# ---- good ----
mlp = model([node("Gemm", ["x", "fc1.weight", "fc1.bias"], ["h"], transB=1), node("Relu", ["h"], ["r"]),
             node("MatMul", ["r", "onnx::MatMul_7"], ["m"]), node("Add", ["fc2.bias", "m"], ["y"])],
            [("x", "f", ["batch", 8])], [("y", ["batch", 3])],
            [constant("fc1.weight", values(5, 8)), constant("fc1.bias", values(5)), constant("onnx::MatMul_7", values(5, 3)), constant("fc2.bias", values(3))])
good("mlp", mlp, x=values(4, 8))

conv = model([node("Conv", ["image", "features.0.weight", "features.0.bias"], ["c"], name="/features/features.0/Conv", pads=[1, 1, 1, 1]),
              node("BatchNormalization", ["c", "features.1.weight", "features.1.bias", "features.1.running_mean", "features.1.running_var"], ["b"],
                   name="/features/features.1/BatchNormalization"),
              node("Relu", ["b"], ["r"], name="/features/features.2/Relu"),
              node("MaxPool", ["r"], ["p"], name="/pool/MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
              node("Shape", ["p"], ["s"]), node("Gather", ["s", "zero"], ["n"], axis=0), node("Unsqueeze", ["n", "axes"], ["n1"]),
              node("Concat", ["n1", "rest"], ["shape"], axis=0), node("Reshape", ["p", "shape"], ["flat"]),
              node("Gemm", ["flat", "fc.weight", "fc.bias"], ["logits"], name="/fc/Gemm", transB=1)],
             [("image", "f", ["N", 2, 6, 6])], [("logits", ["N", 3])],
             [constant("features.0.weight", values(4, 2, 3, 3)), constant("features.0.bias", values(4)), constant("features.1.weight", values(4)),
              constant("features.1.bias", values(4)), constant("features.1.running_mean", values(4)), constant("features.1.running_var", np.abs(values(4)) + 1),
              constant("zero", np.int64(0)), constant("axes", np.int64([0])), constant("rest", np.int64([-1])), constant("fc.weight", values(3, 36)),
              constant("fc.bias", values(3))])
good("conv", conv, image=values(2, 2, 6, 6))

nodes, constants, x = [], [], "x"
for i in range(4):
    p, s = f"h.{i}", f"/h.{i}"
    nodes += [node("LayerNormalization", [x, p + ".ln.weight", p + ".ln.bias"], [f"n{i}"], name=s + "/ln/LayerNormalization", axis=-1),
              node("MatMul", [f"n{i}", f"onnx::MatMul_{i}"], [f"m{i}"], name=s + "/fc/MatMul"), node("Add", [p + ".fc.bias", f"m{i}"], [f"a{i}"], name=s + "/fc/Add"),
              node("Tanh", [f"a{i}"], [f"t{i}"], name=s + "/act/Tanh"), node("Add", [x, f"t{i}"], [f"x{i}"], name=s + "/Add")]
    constants += [constant(p + ".ln.weight", values(6)), constant(p + ".ln.bias", values(6)), constant(f"onnx::MatMul_{i}", values(6, 6)), constant(p + ".fc.bias", values(6))]
    x = f"x{i}"
nodes.append(node("Identity", [x], ["y"]))
good("blocks", model(nodes, [("x", "f", ["B", 3, 6])], [("y", ["B", 3, 6])], constants), x=values(2, 3, 6))

names = model([node("Add", ["x.1", "if"], ["x-1"]), node("Mul", ["x-1", "x_1"], ["if.weight"]), node("Add", ["if.weight", "3"], ["return"])],
              [("x.1", "f", [2, 3])], [("return", [2, 3])], [constant("if", values(3)), constant("x_1", values(3)), constant("3", values(2, 3))])
good("names", names, **{"x.1": values(2, 3)})

external = model([node("Gemm", ["x", "w", "b"], ["y"], transB=1)], [("x", "f", [2, 4])], [("y", [2, 3])], [constant("w", values(3, 4)), constant("b", values(3))])
x = values(2, 4)
save_tensors(os.path.join(folder, "external.in"), {"x": x})
save_tensors(os.path.join(folder, "external.out"), {"0": ReferenceEvaluator(external).run(None, {"x": x})[0]})

# Blocks with a mask each, which an exporter wrote out, and numbers inside of names.
own, nodes, constants, x = np.random.default_rng(2), [], [], "x"
for i in range(3):
    p, s = f"h.{i}", f"/h.{i}"
    nodes += [node("MatMul", [x, f"{p}.q"], [f"query_{i}_part"], name=s + "/MatMul"), node("Transpose", [x], [f"turned_{i}_part"], name=s + "/Transpose", perm=[0, 2, 1]),
              node("MatMul", [f"query_{i}_part", f"turned_{i}_part"], [f"scores_{i}_part"], name=s + "/MatMul_1"),
              node("Add", [f"scores_{i}_part", f"val_{7 * i}"], [f"masked_{i}_part"], name=s + "/Add"),
              node("Softmax", [f"masked_{i}_part"], [f"weights_{i}_part"], name=s + "/Softmax", axis=-1),
              node("MatMul", [f"weights_{i}_part", x], [f"x{i}"], name=s + "/MatMul_2")]
    constants += [constant(p + ".q", (0.5 * own.standard_normal((4, 4))).astype(np.float32)),
                  constant(f"val_{7 * i}", np.triu(np.full((5, 5), -np.inf, np.float32), 1))]
    x = f"x{i}"
nodes.append(node("Identity", [x], ["y"]))
good("masked", model(nodes, [("x", "f", ["B", 5, 4])], [("y", ["B", 5, 4])], constants), x=own.standard_normal((2, 5, 4)).astype(np.float32))


def put_outside(m, location, offset=0, length=None):
    m = onnx.ModelProto.FromString(m.SerializeToString())
    for t in m.graph.initializer:
        raw = numpy_helper.to_array(t).tobytes()
        t.ClearField("raw_data")
        t.data_location = TensorProto.EXTERNAL
        for k, v in ("location", location), ("offset", str(offset)), ("length", str(len(raw) if length is None else length)):
            e = t.external_data.add()
            e.key, e.value = k, v
        offset += len(raw)
    return m


with open(os.path.join(folder, "external.data"), "wb") as f:
    for t in external.graph.initializer:
        f.write(numpy_helper.to_array(t).tobytes())
bad("external", put_outside(external, "external.data"))

# ---- bad ----
bad("truncated", mlp.SerializeToString()[:-40])
bad("no_model", b"this is no protobuf\n")
lies = onnx.ModelProto.FromString(mlp.SerializeToString())
lies.graph.initializer[0].dims[0] = 6
bad("lies", lies)
huge = onnx.ModelProto.FromString(mlp.SerializeToString())
huge.graph.initializer[0].dims[0] = 1 << 29
bad("huge", huge)
negative = onnx.ModelProto.FromString(mlp.SerializeToString())
negative.graph.initializer[0].dims[0] = -5
bad("negative", negative)
bad("outside", put_outside(external, "../outside.data"))
bad("absolute", put_outside(external, "/etc/hostname"))
bad("short_data", put_outside(external, "external.data", offset=40))
bad("opset", model([node("Relu", ["x"], ["y"])], [("x", "f", [2])], [("y", [2])], [], opset=99))
bad("cycle", model([node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"])], [("x", "f", [2])], [("b", [2])], []))
bad("twice", model([node("Relu", ["x"], ["y"]), node("Tanh", ["x"], ["y"], name="again")], [("x", "f", [2])], [("y", [2])], []))
bad("missing", model([node("Add", ["x", "nowhere"], ["y"])], [("x", "f", [2])], [("y", [2])], []))
bad("unknown", model([node("Frobnicate", ["x"], ["a"]), node("NonZero", ["a"], ["b"], name="finder"), node("Cast", ["b"], ["c"], to=TensorProto.STRING)],
                     [("x", "f", [2])], [("c", [2])], []))
bad("shapes", model([node("Add", ["x", "w"], ["sum"], name="the_sum")], [("x", "f", [2, 3])], [("sum", [2, 3])], [constant("w", values(4))]))
bad("control", model([node("Relu", ["x"], ["y"], name="evil\x1b[31m\nname")], [("x", "f", [0])], [("y", [0])], []))


def varint(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def field(number, body):
    return varint(number << 3 | 2) + varint(len(body)) + body


graph = b""
for _ in range(5000):  # graph -> node -> attribute -> graph
    graph = field(1, field(5, field(1, b"body") + field(6, graph)))
bad("deep", field(7, graph))
