#!/usr/bin/env python3
"""Errors of a whole gradient in f32, jepac's and PyTorch's, against PyTorch in f64.

    bench/gradient_error.py build/jepac [--batch N] [--size N]        (a Python with torch and safetensors)

ResNet-18 with tanh in place of ReLU, so that no rounding changes which units are on; small stem, cross entropy,
random parameters and inputs.  Prints ||g - g64|| / ||g64|| over all parameters together.
"""

import argparse
import pathlib
import shutil
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "parity"))
import reference  # noqa: E402

WIDTHS = [64, 128, 256, 512]
CLASSES = 10


def torch_gradient(model, x, label, dtype, channels_last=False):
    model = model.to(dtype).train()
    x = x.to(dtype)
    if channels_last:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    model.zero_grad()
    loss = model(x, label)[0]
    loss.backward()
    return {name: p.grad.double().clone() for name, p in model.named_parameters()}


def error(got, want):
    off = sum(((got[name] - g) ** 2).sum() for name, g in want.items())
    return (off / sum((g**2).sum() for g in want.values())).sqrt().item()


def jepac_gradient(jepac, folder, size, batch, args):
    out = folder / "out.safetensors"
    command = [jepac, "run", folder / "resnet_tanh.jepa", "--entry", "forward", "--grad", "--mode", "train"]
    command += ["--params", folder / "params.safetensors", "--inputs", folder / "inputs.safetensors"]
    command += ["--outputs", out, "--set", f"B={batch}", "--set", f"H={size}", "--set", f"W={size}", *args]
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
    return {name.removeprefix("grad."): t.double() for name, t in load_file(str(out)).items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jepac")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=32)
    args = parser.parse_args()
    torch.manual_seed(0)
    reference.F.relu = torch.tanh
    model = reference.ResNetCase(WIDTHS, 2, "small", CLASSES)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    x, label = torch.randn(args.batch, 3, args.size, args.size), torch.randint(CLASSES, (args.batch,))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        shutil.copytree(ROOT / "models" / "nn", folder / "nn")
        text = (folder / "nn" / "resnet.jepa").read_text().replace("relu(", "tanh(")
        (folder / "nn" / "resnet.jepa").write_text(text)
        (folder / "resnet_tanh.jepa").write_text(
            f"""use "nn/resnet.jepa"
dim B = {args.batch}, H = {args.size}, W = {args.size}
model Net() {{
  encoder = ResNet18("small", {WIDTHS}, [2, 2, 2, 2], 3)
  fc = Linear({WIDTHS[-1]}, {CLASSES})
  entry forward(x: f32[B, 3, H, W], label: i64[B]) {{ return loss = cross_entropy(fc(encoder(x)), label) }}
}}
"""
        )
        keep = {k: v.clone() for k, v in model.state_dict().items()}
        save_file(keep, str(folder / "params.safetensors"))
        save_file({"x": x, "label": label}, str(folder / "inputs.safetensors"))
        want = torch_gradient(model, x, label, torch.float64)
        rows = {}
        for what, flags in (("direct", ["--conv", "direct"]), ("Winograd", [])):
            rows[f"jepac, {what}"] = error(jepac_gradient(args.jepac, folder, args.size, args.batch, flags), want)
        for last in (False, True):
            model.load_state_dict(keep)
            rows["PyTorch" + (", channels_last" if last else "")] = error(
                torch_gradient(model, x, label, torch.float32, last), want
            )
    for name, value in rows.items():
        print(f"{name:24} {value:.2e}")


if __name__ == "__main__":
    main()
