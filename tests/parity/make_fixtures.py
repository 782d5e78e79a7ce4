"""Writes the parity fixtures: parameters, inputs, and what the f64 reference makes of them.

    make_fixtures.py                     every small case, into tests/parity/fixtures/
    make_fixtures.py --case conv         one of them
    make_fixtures.py --full --out DIR    full-width seq-JEPA (not for the repository)
    make_fixtures.py --full gpt2 --out DIR    a model of models/zoo as it is
    make_fixtures.py --full --kinks --out DIR    the same without the care described below

A case is a directory of safetensors files (f32 unless said otherwise):
    params    state dict, batch-norm state included (num_batches_tracked is i64)
    inputs    named as the entry's arguments (label is i64)
    outputs   returned values, train mode, loss first
    outputs_eval   the same in eval mode, from the same params
    grads     grad.<parameter> of the loss in train mode
    buffers1  buffers after one train-mode forward (cases with batch norm)
and for seq_jepa, where 10 steps of AdamW + EMA run on the same inputs, byol, where
the two optimizers of baselines.py do, and accumulate, whose steps take the gradients of
parts of the inputs one after the other,
    after     parameters and buffers after those steps
    losses.json    the loss of each step, before its update
Everything is computed in f64 from values that were first rounded to f32, then
rounded to f32 on writing; losses.json keeps f64.  case.json records the settings
and, under zero_gradient, the parameters whose gradient is zero in exact
arithmetic (a shift that batch norm removes): only an absolute bound makes sense
for these, before and after the optimizer.  The middle third of each in_proj_bias
(the keys) is such a shift too.  With --calibrate the reference also runs in f32,
and the deviation is printed: what a correct f32 implementation may differ by.

Kinks: a pre-activation that rounds to the other side of zero gives a ReLU another
mask, and a gradient that differs by about 1 / sqrt(elements of that tensor), with
nobody at fault.  Of the 6.7 million pre-activations of the full-width encoder a
few do so in any f32 run (PyTorch's own gradients then differ by up to 1e-2), more
with Winograd.  So the seeds are chosen for the distance of every pre-activation
from zero, and in most of the full-width encoder the batch norms have gains of 0.3
and biases of +-2, so that whole channels are on or off.  --kinks leaves that out.
"""

import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file

import baselines
import published
import reference as ref
import zoo

HERE = pathlib.Path(__file__).resolve().parent

RECIPE = dict(lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-3)
EMA_DECAY = 0.99
STEPS = 10

SMALL_SEQ_JEPA = dict(
    widths=(8, 16, 32, 64),
    blocks=1,
    stem="small",
    action_dim=4,
    proj=16,
    heads=4,
    depth=2,
    hidden=64,
    ffn=2,
    dropout=0.0,
)


def seq_jepa_inputs(batch, count, size, action_dim):
    return {
        "views": torch.randn(batch, count, 3, size, size),
        "next": torch.randn(batch, 3, size, size),
        "actions": torch.randn(batch, count, action_dim),
    }


def tinted_inputs(batch, count, size, action_dim):
    """As seq_jepa_inputs, with a tint for each image, so that pooled features differ."""
    inputs = seq_jepa_inputs(batch, count, size, action_dim)
    inputs["views"] = 0.5 * inputs["views"] + torch.randn(batch, count, 3, 1, 1)
    inputs["next"] = 0.5 * inputs["next"] + torch.randn(batch, 3, 1, 1)
    return inputs


def image_inputs(batch, size):
    return {"x": torch.randn(batch, 3, size, size), "label": torch.randint(0, 5, (batch,))}


# name: model class, its arguments, inputs, names of the returned values
CASES = {
    "mlp": dict(
        seed=21,
        model=ref.MLPCase,
        args={},
        inputs=lambda: {"x": torch.randn(8, 20), "label": torch.randint(0, 5, (8,))},
        returns=["loss", "logits"],
    ),
    "accumulate": dict(
        seed=22,
        model=ref.MLPCase,
        args={},
        inputs=lambda: {"x": torch.randn(8, 20), "label": torch.randint(0, 5, (8,))},
        returns=["loss", "logits"],
        train=lambda model, inputs: accumulate(model, inputs),
    ),
    "conv": dict(
        seed=49,
        model=ref.ConvCase,
        args={},
        inputs=lambda: image_inputs(4, 16),
        returns=["loss", "logits", "features"],
    ),
    "grouped": dict(
        seed=50,
        model=ref.GroupedCase,
        args={},
        inputs=lambda: image_inputs(4, 17),
        returns=["loss", "logits", "features"],
    ),
    "transformer": dict(
        seed=3,
        model=ref.TransformerCase,
        args={},
        inputs=lambda: {"x": torch.randn(4, 5, 32), "target": torch.randn(4, 5, 32)},
        returns=["loss", "y"],
    ),
    "resnet_imagenet": dict(
        seed=2,
        model=ref.ResNetCase,
        args=dict(widths=(4, 8, 16, 32), blocks=2, stem="imagenet"),
        inputs=lambda: image_inputs(8, 32),
        returns=["loss", "logits", "features"],
    ),
    "seq_jepa": dict(
        seed=382,
        model=ref.SeqJEPA,
        args=SMALL_SEQ_JEPA,
        inputs=lambda: seq_jepa_inputs(4, 3, 16, 4),
        returns=["loss", "agg", "z"],
    ),
    **baselines.CASES,
    **published.cases(
        baselines.pair, baselines.sequence, lambda: {"views": baselines.images(baselines.BATCH, 3)}
    ),
    **zoo.CASES,
}

FULL = {
    "seq_jepa": dict(
        seed=1,
        model=ref.SeqJEPA,
        args=dict(dropout=0.0),
        inputs=lambda: tinted_inputs(4, 3, 32, 9),
        returns=["loss", "agg", "z"],
        file="models/seq_jepa.jepa",
        settings=["dropout=0"],
    ),
    **zoo.FULL,
}


@torch.no_grad()
def perturb(model):
    """Moves everything off its initial value, so that no term is hidden by a zero or a one."""
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensor.fill_(3)
        elif not tensor.is_floating_point():
            continue
        elif name.endswith("running_mean"):
            tensor.copy_(0.2 * torch.randn_like(tensor))
        elif name.endswith("running_var"):
            tensor.copy_(0.5 + torch.rand_like(tensor))
        elif name.endswith(".bias") or name == "agg_token" or name.endswith("in_proj_bias"):
            tensor.add_(0.1 * torch.randn_like(tensor))
        elif tensor.dim() == 1:
            # norm gains; the zero-initialised ones become about a half
            tensor.copy_(0.75 + 0.25 * tensor + 0.2 * torch.randn_like(tensor))
        elif name.startswith("target_"):
            tensor.add_(0.2 * tensor.std() * torch.randn_like(tensor))
        elif not tensor.any():
            tensor.copy_(0.1 * torch.randn_like(tensor))
        tensor.copy_(tensor.float())


@torch.no_grad()
def avoid_kinks(model):
    """Gains and biases of batch norms before a ReLU that keep channels on or off.

    The last few ReLUs of the encoder are left alone, or the samples of a batch
    would hardly differ; the target encoder has no gradient.
    """

    def settle(norm, signs):
        norm.weight.copy_(0.3 * norm.weight.sign())
        norm.bias.copy_(signs * (2 + 0.2 * torch.randn_like(norm.bias)))

    def random_signs(norm):
        # three in four channels on
        return torch.where(torch.rand_like(norm.bias) < 0.75, 1.0, -1.0)

    encoder = model.encoder
    settle(encoder.bn1, random_signs(encoder.bn1))
    for stage in range(1, encoder.stages + 1):
        for block in getattr(encoder, f"layer{stage}"):
            last = block is encoder.get_submodule(f"layer{encoder.stages}")[-1]
            if not last:
                settle(block.bn1, random_signs(block.bn1))
            if stage == encoder.stages:
                continue
            if block.downsample is None:
                # the shortcut is not negative: only a positive sum is safe
                settle(block.bn2, 1.0)
            else:
                signs = random_signs(block.bn2)
                settle(block.bn2, signs)
                settle(block.downsample[1], signs)
    for tensor in model.parameters():
        tensor.copy_(tensor.float())


def build(spec, seed, kinks=True):
    """The model in f64 with f32-representable values, and its inputs."""
    torch.manual_seed(seed)
    model = spec["model"](**spec["args"])
    perturb(model)
    if not kinks:
        avoid_kinks(model)
    inputs = {k: v.double() if v.is_floating_point() else v for k, v in spec["inputs"]().items()}
    return model.double(), inputs


def cast(tensors, dtype):
    return {k: v.to(dtype) if v.is_floating_point() else v for k, v in tensors.items()}


def to_file(tensors, path):
    """f64 to f32, integers as they are."""
    tensors = {
        k: (v.float() if v.is_floating_point() else v).detach().clone().contiguous()
        for k, v in tensors.items()
    }
    save_file(tensors, str(path))
    path.chmod(0o644)


def forward_backward(model, inputs):
    """Returned values and grad.<parameter> of the first."""
    model.zero_grad(set_to_none=True)
    returned = model(*inputs.values())
    returned[0].backward()
    grads = {f"grad.{n}": p.grad for n, p in model.named_parameters() if p.requires_grad}
    return returned, grads


def train(model, inputs, steps=STEPS):
    """AdamW on every trainable parameter, then EMA; the loss of each step."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], **RECIPE)
    losses = []
    for _ in range(steps):
        returned, _ = forward_backward(model, inputs)
        losses.append(returned[0].item())
        optimizer.step()
        model.ema_update(EMA_DECAY)
    return losses


def accumulate(model, inputs, steps=STEPS, parts=4):
    """Clipped AdamW on a cosine, each step after the backward passes of all parts of the inputs."""
    optimizer = torch.optim.AdamW(model.parameters(), **dict(RECIPE, lr=1e-2))
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=1e-3)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        total = 0
        for part in zip(*(x.chunk(parts) for x in inputs.values())):
            loss = model(*part)[0] / parts
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        decay.step()
        losses.append(total)
    return losses


def compute(spec, model, inputs):
    """All files of a case, from a model that holds its parameters.  Changes the model."""
    files = {}
    start = {k: v.clone() for k, v in model.state_dict().items()}
    files["params"] = start
    files["inputs"] = inputs
    model.eval()
    with torch.no_grad():
        files["outputs_eval"] = dict(zip(spec["returns"], model(*inputs.values())))
    model.train()
    returned, grads = forward_backward(model, inputs)
    files["outputs"] = dict(zip(spec["returns"], returned))
    files["grads"] = {k: v.clone() for k, v in grads.items()}
    buffers = {k: v.clone() for k, v in model.named_buffers()}
    if buffers:
        files["buffers1"] = buffers
    losses = None
    if "train" in spec:
        model.load_state_dict(start)
        losses = spec["train"](model, inputs)
        files["after"] = model.state_dict()
    elif type(model) in (ref.SeqJEPA, baselines.BYOL):
        model.load_state_dict(start)
        if type(model) is ref.SeqJEPA:
            losses = train(model, inputs)
        else:
            losses = baselines.train(model, inputs, STEPS, EMA_DECAY)
        files["after"] = model.state_dict()
    return files, losses


def relative(a, b, floor):
    return ((a.double() - b.double()).norm() / (b.double().norm() + floor)).item()


def zero_gradients(grads):
    """Parameters whose gradient is rounding noise in f64."""
    largest = max(g.norm().item() for g in grads.values())
    return [k.removeprefix("grad.") for k, g in grads.items() if g.norm().item() < 1e-9 * largest]


def calibrate(spec, files, losses):
    """Prints the largest relative deviation of an f32 run, per file and tensor."""
    model = spec["model"](**spec["args"])
    model.load_state_dict(files["params"])
    got, got_losses = compute(spec, model.float(), cast(files["inputs"], torch.float32))
    zero = zero_gradients(files["grads"])
    for name in ("outputs", "outputs_eval", "grads", "buffers1", "after"):
        if name not in files:
            continue
        want = {k: v for k, v in files[name].items() if v.is_floating_point()}
        largest = max((v.norm().item() for v in want.values()), default=0)
        worst = (0.0, "")
        for k, v in want.items():
            if k.removeprefix("grad.") in zero:
                error = (got[name][k].double() - v).norm().item()
                print(
                    f"    f32 deviation {name:13} {error / largest:.1e}  of the largest norm, {k}"
                )
            else:
                worst = max(worst, (relative(got[name][k], v, 1e-7 * largest), k))
        print(f"    f32 deviation {name:13} {worst[0]:.1e}  {worst[1]}")
    if losses:
        worst = max(abs(a - b) / abs(b) for a, b in zip(got_losses, losses))
        print(f"    f32 deviation losses        {worst:.1e}")


def write(name, spec, folder, seed, check, kinks=True):
    seed = spec["seed"] if seed is None else seed
    model, inputs = build(spec, seed, kinks)
    files, losses = compute(spec, model, inputs)
    calculated = files
    if "rename" in spec:
        files = {stem: spec["rename"](tensors, spec["model"]) for stem, tensors in files.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for stem, tensors in files.items():
        to_file(tensors, folder / f"{stem}.safetensors")
    case = {"case": name, "seed": seed, "model": spec["args"], "torch": torch.__version__}
    case["kinks"] = kinks
    case["inputs"] = {k: list(v.shape) for k, v in inputs.items()}
    case["zero_gradient"] = zero_gradients(files["grads"])
    if losses:
        recipe = RECIPE if name.startswith("seq_jepa") else {}
        case["train"] = dict(recipe, steps=STEPS)
        if "train" not in spec:
            case["train"]["ema_decay"] = EMA_DECAY
        (folder / "losses.json").write_text(json.dumps(losses, indent=1) + "\n")
    (folder / "case.json").write_text(json.dumps(case, indent=1) + "\n")
    size = sum(f.stat().st_size for f in folder.iterdir())
    print(f"{name}: loss {files['outputs']['loss'].item():.9f}, {size / 1e6:.2f} MB")
    if check:
        calibrate(spec, calculated, losses)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--case", choices=sorted(CASES), action="append", help="default: all")
    parser.add_argument(
        "--full",
        nargs="?",
        const="seq_jepa",
        choices=FULL,
        help="a model at full width; without a name seq-JEPA, 32x32, batch 4",
    )
    parser.add_argument("--kinks", action="store_true", help="with --full: any pre-activations")
    parser.add_argument("--out", type=pathlib.Path, help="default: fixtures/ beside this file")
    parser.add_argument("--seed", type=int, help="default: the case's own")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--calibrate", action="store_true", help="also run in f32 and compare")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.full:
        if args.out is None:
            parser.error("--full needs --out DIR (about 420 MB: outside the repository)")
        kinks = args.kinks or args.full != "seq_jepa"
        write(f"{args.full}_full", FULL[args.full], args.out, args.seed, args.calibrate, kinks)
        return
    root = args.out or HERE / "fixtures"
    for name in args.case or CASES:
        write(name, CASES[name], root / name, args.seed, args.calibrate)


if __name__ == "__main__":
    main()
