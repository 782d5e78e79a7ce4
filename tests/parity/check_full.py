"""Checks jepac's forward and gradient of a full-width model against PyTorch in f64.

    make_fixtures.py --full [NAME] --out DIR
    check_full.py JEPAC DIR [--model FILE] [--set NAME=VALUE ...]

Runs `jepac run MODEL --entry forward --grad --mode train` on the fixture in DIR
and prints: the relative error of the loss and of each returned value; for each
parameter ||d|| / (||ref|| + 1e-7 max ||ref||); and, for random directions v in
parameter space, the f64 central difference of the reference's loss against
jepac's <gradient, v>.  Parameters whose gradient is zero in exact arithmetic
(see make_fixtures.py) are held to an absolute bound instead.  Exits 1 if the
loss is off by more than 1e-5 or a gradient by more than 1e-3 (5e-2 on a fixture
made with --kinks and on those of models/zoo, where rounding changes ReLU masks:
see make_fixtures.py).
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file

import make_fixtures as fixtures

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOSS_BOUND = 1e-5
GRADIENT_BOUND = 1e-3
KINKS_BOUND = 5e-2
ZERO_BOUND = 1e-6  # of the largest gradient norm, for gradients that are zero


def run_jepac(args, model_file, settings):
    """Tensors that jepac returns, by name."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "jepac.safetensors"
        command = [args.jepac, "run", model_file, "--entry", "forward", "--grad"]
        command += ["--mode", "train", "--params", args.fixture / "params.safetensors"]
        command += ["--inputs", args.fixture / "inputs.safetensors", "--outputs", out]
        for setting in settings:
            command += ["--set", setting]
        command += args.extra
        command = [str(word) for word in command]
        print("+", " ".join(command), flush=True)
        status = subprocess.run(command).returncode
        if status != 0:
            sys.exit(f"jepac exited with {status}")
        return load_file(str(out))


def reference_model(folder):
    """Its case, the reference (f64, train mode, fixture parameters), its inputs, the gradient bound."""
    case = json.loads((folder / "case.json").read_text())
    spec = fixtures.FULL[case["case"].removesuffix("_full")]
    model = spec["model"](**case["model"])
    model.load_state_dict(load_file(str(folder / "params.safetensors")))
    stored = load_file(str(folder / "inputs.safetensors"))
    inputs = fixtures.cast({k: stored[k] for k in case["inputs"]}, torch.float64)
    return spec, model.double().train(), inputs, KINKS_BOUND if case["kinks"] else GRADIENT_BOUND


def compare_gradients(got, want, bound, verbose):
    """The largest relative error over parameters, and whether zero gradients are near zero."""
    largest = max(g.double().norm().item() for g in want.values())
    zero = {f"grad.{name}" for name in fixtures.zero_gradients(want)}
    worst, zero_ok = 0.0, True
    for name, reference in want.items():
        if name not in got:
            sys.exit(f"jepac returned no {name}")
        if got[name].shape != reference.shape:
            sys.exit(f"{name}: {tuple(got[name].shape)}, expected {tuple(reference.shape)}")
        difference = (got[name].double() - reference.double()).norm().item()
        if name in zero:
            print(f"  {difference / largest:.2e}  {name} (zero gradient: of the largest norm)")
            zero_ok = zero_ok and difference <= ZERO_BOUND * largest
            continue
        error = difference / (reference.double().norm().item() + 1e-7 * largest)
        if verbose or not error <= bound:
            print(f"  {error:.2e}  {name}")
        worst = max(worst, error if error == error else float("inf"))
    return worst, zero_ok


def directions(parameters, count, generator):
    """(label, direction): each tensor's part is scaled to the size of the tensor."""
    modules = sorted({name.split(".")[0] for name in parameters})
    labels = ["all"] * count + modules
    for label in labels:
        direction = {}
        for name, parameter in parameters.items():
            if label in ("all", name.split(".")[0]):
                noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
                scale = parameter.double().norm() / parameter.numel() ** 0.5
                direction[name] = noise * scale
        yield label, direction


@torch.no_grad()
def loss_along(model, inputs, direction, step):
    """Loss with the parameters moved by step * direction (and moved back)."""
    parameters = dict(model.named_parameters())
    saved = {name: parameters[name].clone() for name in direction}
    for name, v in direction.items():
        parameters[name].add_(v, alpha=step)
    loss = model(*inputs.values())[0].item()
    for name, value in saved.items():
        parameters[name].copy_(value)
    return loss


def check_directions(model, inputs, got, count, step):
    """The largest relative error of directional derivatives.

    A derivative may be small by cancellation, so the error is relative to the
    larger of it and its standard deviation over directions.
    """
    generator = torch.Generator().manual_seed(7)
    trainable = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    worst = 0.0
    for label, direction in directions(trainable, count, generator):
        up = loss_along(model, inputs, direction, step)
        down = loss_along(model, inputs, direction, -step)
        difference = (up - down) / (2 * step)
        derivative, spread = 0.0, 0.0
        for name, v in direction.items():
            gradient = got[f"grad.{name}"].double()
            derivative += (gradient * v).sum().item()
            spread += (gradient.norm().item() * v.norm().item() / v.numel() ** 0.5) ** 2
        error = abs(difference - derivative) / max(abs(difference), spread**0.5)
        print(f"  {error:.2e}  {label}: {derivative:+.8e}, finite difference {difference:+.8e}")
        worst = max(worst, error if error == error else float("inf"))
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("jepac", help="path of the binary, or 'torch-f32' to check the checker")
    parser.add_argument("fixture", type=pathlib.Path)
    parser.add_argument("--model", help="file; default: the fixture's")
    parser.add_argument("--set", action="append", help="replaces the default settings")
    parser.add_argument("--directions", type=int, default=4)
    # of 1e-6 so many of MobileNetV2's activations cross a kink of ReLU6 that differences are 1 % off
    parser.add_argument("--step", type=float, default=1e-8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-v", "--verbose", action="store_true", help="print every parameter")
    parser.add_argument("extra", nargs="*", help="further arguments of jepac, after --")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    spec, model, inputs, bound = reference_model(args.fixture)
    if args.jepac == "torch-f32":
        returned, got = fixtures.forward_backward(model.float(), fixtures.cast(inputs, torch.float))
        got = dict(got, **dict(zip(spec["returns"], returned)))
        model.double()
    else:
        # sizes are those of the inputs
        settings = spec["settings"] if args.set is None else args.set
        got = run_jepac(args, args.model or ROOT / spec["file"], settings)

    want = load_file(str(args.fixture / "outputs.safetensors"))
    errors = {}
    for name, reference in want.items():
        if name not in got:
            sys.exit(f"jepac returned no {name}")
        errors[name] = fixtures.relative(got[name].reshape(reference.shape), reference, 1e-30)
        print(f"  {errors[name]:.2e}  {name}")
    print("gradients")
    gradients = load_file(str(args.fixture / "grads.safetensors"))
    worst, zero_ok = compare_gradients(got, gradients, bound, args.verbose)
    print("directional derivatives")
    directional = check_directions(model, inputs, got, args.directions, args.step)

    failed = not errors["loss"] <= LOSS_BOUND
    failed = failed or worst > bound or not zero_ok or directional > bound
    print(
        f"max relative error: loss {errors['loss']:.2e}, gradient {worst:.2e}, "
        f"directional derivative {directional:.2e}: {'FAILED' if failed else 'ok'}"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
