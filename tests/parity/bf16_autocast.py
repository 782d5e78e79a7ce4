#!/usr/bin/env python3
"""What bf16 autocast costs in PyTorch on the parity fixtures: the scale of the tolerances in test_parity.c (bf16).

    bf16_autocast.py [CASE ...]

For each case and file the norm of the difference from the f64 reference over the norm of the reference, all tensors
of the file as one vector; for losses the largest relative difference of ten steps.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import load_file

import make_fixtures as make
import reference as ref

FIXTURES = pathlib.Path(__file__).resolve().parent / "fixtures"


def error(got, want):
    keys = [k for k, v in want.items() if v.is_floating_point()]
    off = sum((got[k].double() - want[k].double()).square().sum() for k in keys)
    return (off / sum(want[k].double().square().sum() for k in keys)).sqrt().item()


def measure(name):
    spec, folder = make.CASES[name], FIXTURES / name
    want = {f.stem: load_file(f) for f in folder.glob("*.safetensors")}
    model = spec["model"](**spec["args"])
    model.load_state_dict(want["params"])
    forward = model.forward

    def autocast(*inputs):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return forward(*inputs)

    model.forward = autocast
    order = json.loads((folder / "case.json").read_text())["inputs"]
    inputs = {k: want["inputs"][k] for k in order}
    print(name, end=":")
    model.eval()
    with torch.no_grad():
        got = dict(zip(spec["returns"], model(*inputs.values())))
    print(f" outputs_eval {error(got, want['outputs_eval']):.4f}", end="")
    model.train()
    returned, grads = make.forward_backward(model, inputs)
    got = dict(zip(spec["returns"], returned))
    print(f" outputs {error(got, want['outputs']):.4f} grads {error(grads, want['grads']):.4f}", end="")
    if "buffers1" in want:
        print(f" buffers1 {error(dict(model.named_buffers()), want['buffers1']):.4f}", end="")
    if type(model) is ref.SeqJEPA:
        model.load_state_dict(want["params"])
        losses = json.loads((folder / "losses.json").read_text())
        got = make.train(model, inputs)
        print(f" losses {max(abs(a - b) / abs(b) for a, b in zip(got, losses)):.4f}", end="")
        print(f" after {error(model.state_dict(), want['after']):.4f}", end="")
    print()


if __name__ == "__main__":
    torch.set_num_threads(1)
    for case in sys.argv[1:] or ["mlp", "conv", "transformer", "resnet_imagenet", "seq_jepa"]:
        measure(case)
