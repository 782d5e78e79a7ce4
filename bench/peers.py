"""One process that performs seq-JEPA steps in a peer framework, on command.

    peers.py --peer eager|channels_last|compile|ipex|jax --workload train|encoder|transformer|zoo ...

Workloads:
    train        the whole training step: forward, gradient, AdamW, EMA of the target encoder
    encoder      the encoder alone in eval mode, without gradient
    transformer  training step of transformer encoder and predictor on given features
    zoo          training step of a model of models/zoo, with the optimizer of its file (not in JAX)
Data are random and fixed.  The mathematics is that of tests/parity/reference.py,
and zoo.py, which the PyTorch peers run as they are; the JAX peer is written below, NHWC inside
one jit.  --check DIR trains on a parity fixture and compares the losses.

Protocol (JSON lines, so that a runner can interleave processes): the process
builds the model, takes its first step and the warm-up steps, and prints
    {"ready": true, "first_step_s": ..., "import_rss_bytes": ..., ...}
then for each line "step" on stdin performs one step and prints {"step_s": ...};
at end of input it prints {"peak_rss_bytes": ..., "versions": {...}, ...}.
Whatever libraries print goes to stderr.
"""

import argparse
import importlib
import json
import os
import pathlib
import platform
import resource
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
TORCH_PEERS = ("eager", "channels_last", "compile", "ipex")
PEERS = TORCH_PEERS + ("jax",)
WORKLOADS = ("train", "encoder", "transformer", "zoo")
ADAMW = dict(lr=4e-4, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-3)
EMA_DECAY = 0.996


def peak_rss_bytes():
    """The largest resident size of this process image."""
    try:
        for line in open("/proc/self/status"):
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# --- PyTorch ---------------------------------------------------------------


class TorchPeer:
    """reference.SeqJEPA or a model of zoo.py: eager, compiled or through Intel's extension."""

    def __init__(self, args):
        sys.path.insert(0, str(ROOT / "tests" / "parity"))
        self.torch = importlib.import_module("torch")
        self.ipex = None
        if args.peer == "ipex":
            self.ipex = importlib.import_module("intel_extension_for_pytorch")
        self.reference = importlib.import_module("zoo" if args.workload == "zoo" else "reference")
        self.import_rss_bytes = peak_rss_bytes()
        self.torch.set_num_threads(args.threads)
        self.args = args
        self.compiled = args.peer == "compile"
        self.channels_last = args.peer != "eager"
        self.bf16 = args.precision == "bf16"

    def versions(self):
        versions = {"torch": self.torch.__version__}
        return dict(versions, ipex=self.ipex.__version__) if self.ipex else versions

    def images(self, *shape):
        x = self.torch.randn(*shape)
        if self.channels_last and len(shape) == 4:
            x = x.contiguous(memory_format=self.torch.channels_last)
        return x

    def autocast(self):
        return self.torch.autocast("cpu", dtype=self.torch.bfloat16, enabled=self.bf16)

    def wrap(self, function):
        return self.torch.compile(function) if self.compiled else function

    def optimizer(self, parameters, recipe=ADAMW):
        kind = self.torch.optim.SGD if "momentum" in recipe else self.torch.optim.AdamW
        # the extension fuses optimizers itself
        return kind(parameters, fused=self.ipex is None, **recipe)

    def optimize(self, model, optimizer=None):
        """Model and optimizer as the extension wants them."""
        if not self.ipex:
            return model, optimizer
        dtype = self.torch.bfloat16 if self.bf16 else self.torch.float32
        if optimizer is None:
            return self.ipex.optimize(model, dtype=dtype), None
        return self.ipex.optimize(model, optimizer=optimizer, dtype=dtype)

    def build(self, model_args, workload):
        args, torch = self.args, self.torch
        torch.manual_seed(0)
        if workload == "zoo":
            self.zoo(self.reference.FULL[args.model])
            return
        model = self.reference.SeqJEPA(**model_args)
        if self.channels_last:
            model = model.to(memory_format=torch.channels_last)
        if workload == "train":
            views = self.images(args.batch * args.views, 3, args.size, args.size)
            views = views.unflatten(0, (args.batch, args.views))
            following = self.images(args.batch, 3, args.size, args.size)
            actions = torch.randn(args.batch, args.views, args.action_dim)
            self.train(model, (views, following, actions), ADAMW, EMA_DECAY)
        elif workload == "encoder":
            self.encode(model.encoder, self.images(args.batch, 3, args.size, args.size))
        else:
            self.predict(model)

    def zoo(self, spec):
        model = spec["model"](**spec["bench"])
        inputs = spec["inputs_of"](self.args.batch).values()
        if self.channels_last:
            model = model.to(memory_format=self.torch.channels_last)
            last = self.torch.channels_last
            inputs = [x.contiguous(memory_format=last) if x.dim() == 4 else x for x in inputs]
        self.train(model, inputs, spec["optimizer"], spec["decay"], spec["clip"])

    def train(self, model, inputs, recipe, decay, clip=None):
        model.train()
        trainable = [p for p in model.parameters() if p.requires_grad]
        model, optimizer = self.optimize(model, self.optimizer(trainable, recipe))
        forward = self.wrap(model)

        def step():
            optimizer.zero_grad(set_to_none=True)
            with self.autocast():
                loss = forward(*inputs)[0]
            loss.backward()
            if clip is not None:
                self.torch.nn.utils.clip_grad_norm_(trainable, clip)
            optimizer.step()
            if decay is not None:
                model.ema_update(decay)
            return loss.item()

        self.step = step

    def encode(self, encoder, x):
        encoder, _ = self.optimize(encoder.eval())
        if self.ipex:
            with self.torch.inference_mode(), self.autocast():
                encoder = self.torch.jit.freeze(self.torch.jit.trace(encoder, x))
        forward = self.wrap(encoder)

        def step():
            with self.torch.inference_mode(), self.autocast():
                return forward(x).float().mean().item()

        self.step = step

    def predict(self, model):
        args, torch = self.args, self.torch
        model.train()
        trainable = [model.agg_token]
        trainable += list(model.transformer_encoder.parameters())
        trainable += list(model.predictor.parameters())
        model, optimizer = self.optimize(model, self.optimizer(trainable))
        z = torch.randn(args.batch, args.views, model.encoder.out)
        a_obs = torch.randn(args.batch, args.views, args.proj)
        a_next = torch.randn(args.batch, args.proj)
        target = torch.randn(args.batch, model.encoder.out)

        def loss_function():
            pred = model.predict(model.aggregate(z, a_obs), a_next)
            return (1 - torch.nn.functional.cosine_similarity(pred, target, dim=1)).mean()

        forward = self.wrap(loss_function)

        def step():
            optimizer.zero_grad(set_to_none=True)
            with self.autocast():
                loss = forward()
            loss.backward()
            optimizer.step()
            return loss.item()

        self.step = step

    def build_check(self, model_args, params, inputs, recipe):
        torch = self.torch
        model = self.reference.SeqJEPA(**model_args)
        model.load_state_dict({k: torch.from_numpy(v) for k, v in params.items()})
        if self.channels_last:
            model = model.to(memory_format=torch.channels_last)
        order = ("views", "next", "actions")
        inputs = [torch.from_numpy(inputs[k]) for k in order]
        recipe = dict(recipe)
        decay = recipe.pop("ema_decay")
        self.train(model, inputs, recipe, decay)


# --- JAX -------------------------------------------------------------------


class JaxModel:
    """seq-JEPA as functions of flat dictionaries with PyTorch's names.

    Convolution weights are HWIO, images NHWC; linear weights stay [out, in].
    apply functions read self.p (parameters) and self.s (buffers), and put moved
    running statistics into self.moved.
    """

    def __init__(self, jax, args, bf16):
        self.jax = jax
        self.np = jax.numpy
        self.a = args
        self.dtype = self.np.bfloat16 if bf16 else self.np.float32

    def bind(self, parameters, buffers, train, key):
        self.p, self.s, self.training, self.key = parameters, buffers, train, key
        self.moved = {}

    def buffer(self, name):
        return self.moved.get(name, self.s[name])

    def dropout(self, x):
        rate = self.a["dropout"]
        if not self.training or rate == 0:
            return x
        self.key, key = self.jax.random.split(self.key)
        keep = self.jax.random.bernoulli(key, 1 - rate, x.shape)
        return self.np.where(keep, x / (1 - rate), self.np.zeros_like(x))

    def linear(self, name, x, bias=True):
        y = x.astype(self.dtype) @ self.p[name + ".weight"].astype(self.dtype).T
        return y + self.p[name + ".bias"].astype(self.dtype) if bias else y

    def conv(self, name, x, stride, pad):
        return self.jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            self.p[name + ".weight"].astype(self.dtype),
            (stride, stride),
            [(pad, pad)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    def batch_norm(self, name, x, affine=True):
        np = self.np
        wide = x.astype(np.float32)
        if self.training:
            axes = tuple(range(x.ndim - 1))
            count = x.size // x.shape[-1]
            mean = wide.mean(axes)
            var = np.maximum((wide * wide).mean(axes) - mean * mean, 0)
            for stat, value in ((".running_mean", mean), (".running_var", var)):
                value = self.jax.lax.stop_gradient(value)
                if stat == ".running_var":
                    value = value * (count / (count - 1))
                self.moved[name + stat] = 0.9 * self.buffer(name + stat) + 0.1 * value
        else:
            mean, var = self.s[name + ".running_mean"], self.s[name + ".running_var"]
        scale = self.jax.lax.rsqrt(var + 1e-5)
        if affine:
            scale = scale * self.p[name + ".weight"]
        y = (wide - mean) * scale
        if affine:
            y = y + self.p[name + ".bias"]
        return y.astype(x.dtype)

    def layer_norm(self, name, x):
        wide = x.astype(self.np.float32)
        centred = wide - wide.mean(-1, keepdims=True)
        var = (centred * centred).mean(-1, keepdims=True)
        y = centred * self.jax.lax.rsqrt(var + 1e-5)
        return y * self.p[name + ".weight"] + self.p[name + ".bias"]

    def encoder(self, name, x):
        relu = self.jax.nn.relu
        stem = self.a["stem"]
        stride, pad = {"small": (1, 1), "narrow": (2, 1), "imagenet": (2, 3)}[stem]
        x = relu(self.batch_norm(f"{name}.bn1", self.conv(f"{name}.conv1", x, stride, pad)))
        if stem == "imagenet":
            window = (1, 3, 3, 1), (1, 2, 2, 1), ((0, 0), (1, 1), (1, 1), (0, 0))
            lowest = x.dtype.type("-inf")  # a constant, else JAX does not know it for a maximum
            x = self.jax.lax.reduce_window(x, lowest, self.jax.lax.max, *window)
        for stage, width in enumerate(self.a["widths"]):
            for block in range(self.a["blocks"]):
                prefix = f"{name}.layer{stage + 1}.{block}"
                stride = 2 if stage > 0 and block == 0 else 1
                shortcut = x
                if stride != 1 or x.shape[-1] != width:
                    shortcut = self.conv(f"{prefix}.downsample.0", x, stride, 0)
                    shortcut = self.batch_norm(f"{prefix}.downsample.1", shortcut)
                y = self.conv(f"{prefix}.conv1", x, stride, 1)
                y = relu(self.batch_norm(f"{prefix}.bn1", y))
                y = self.batch_norm(f"{prefix}.bn2", self.conv(f"{prefix}.conv2", y, 1, 1))
                x = relu(y + shortcut)
        return x.astype(self.np.float32).mean((1, 2))

    def attention(self, name, x):
        np = self.np
        batch, count, width = x.shape
        heads = self.a["heads"]
        weight = self.p[name + ".in_proj_weight"].astype(self.dtype)
        qkv = x.astype(self.dtype) @ weight.T + self.p[name + ".in_proj_bias"].astype(self.dtype)
        q, k, v = np.moveaxis(qkv.reshape(batch, count, 3, heads, width // heads), 2, 0)
        scores = np.einsum("bqhd,bkhd->bhqk", q, k) / (width // heads) ** 0.5
        scores = self.dropout(self.jax.nn.softmax(scores.astype(np.float32), axis=-1))
        y = np.einsum("bhqk,bkhd->bqhd", scores.astype(self.dtype), v)
        return self.linear(name + ".out_proj", y.reshape(batch, count, width))

    def transformer(self, x):
        for depth in range(self.a["depth"]):
            name = f"transformer_encoder.layers.{depth}"
            y = self.dropout(self.attention(name + ".self_attn", x))
            x = self.layer_norm(name + ".norm1", x + y)
            y = self.dropout(self.jax.nn.relu(self.linear(name + ".linear1", x)))
            y = self.dropout(self.linear(name + ".linear2", y))
            x = self.layer_norm(name + ".norm2", x + y)
        return self.layer_norm("transformer_encoder.norm", x)

    def predict_loss(self, z, a_obs, a_next, target):
        np = self.np
        token = np.broadcast_to(self.p["agg_token"], (z.shape[0], 1, z.shape[2] + a_obs.shape[2]))
        x = np.concatenate([token, np.concatenate([z, a_obs], 2)], 1)
        agg = self.transformer(x)[:, 0]
        y = self.linear("predictor.0", np.concatenate([agg, a_next], 1), bias=False)
        y = self.jax.nn.relu(self.batch_norm("predictor.1", y))
        pred = self.linear("predictor.3", y).astype(np.float32)

        def unit(v):
            return v / np.maximum(np.sqrt((v * v).sum(1, keepdims=True)), 1e-8)

        return (1 - (unit(pred) * unit(target)).sum(1)).mean()

    def action_proj(self, x):
        y = self.linear("action_proj.0", x, bias=False).astype(self.np.float32)
        return self.batch_norm("action_proj.1", y, affine=False)

    def loss(self, views, following, actions):
        np = self.np
        batch, count = views.shape[:2]
        a_next = self.action_proj(actions[:, -1])
        z = self.encoder("encoder", views.reshape((batch * count,) + views.shape[2:]))
        a = self.action_proj(actions.reshape(batch * count, -1)).reshape(batch, count, -1)
        a_obs = np.concatenate([a[:, :-1], np.zeros_like(a[:, -1:])], 1)
        target = self.jax.lax.stop_gradient(self.encoder("target_encoder", following))
        return self.predict_loss(z.reshape(batch, count, -1), a_obs, a_next, target)


def initial_state(a, in_channels, generator):
    """Parameters and buffers of seq-JEPA as NumPy arrays, initialised as the reference."""
    import numpy

    params, buffers = {}, {}

    def uniform(name, shape, bound):
        params[name] = generator.uniform(-bound, bound, shape).astype("float32")

    def linear(name, fan_in, fan_out, bias=True):
        uniform(name + ".weight", (fan_out, fan_in), fan_in**-0.5)
        if bias:
            uniform(name + ".bias", (fan_out,), fan_in**-0.5)

    def conv(name, cin, cout, size):
        scale = (2 / (cout * size * size)) ** 0.5
        params[name + ".weight"] = generator.normal(0, scale, (size, size, cin, cout)).astype(
            "float32"
        )

    def norm(name, width, stats=True, affine=True, gain=1.0):
        if affine:
            params[name + ".weight"] = numpy.full(width, gain, "float32")
            params[name + ".bias"] = numpy.zeros(width, "float32")
        if stats:
            buffers[name + ".running_mean"] = numpy.zeros(width, "float32")
            buffers[name + ".running_var"] = numpy.ones(width, "float32")

    for encoder in ("encoder", "target_encoder"):
        channels = a["widths"][0]
        conv(f"{encoder}.conv1", in_channels, channels, 7 if a["stem"] == "imagenet" else 3)
        norm(f"{encoder}.bn1", channels)
        for stage, width in enumerate(a["widths"]):
            for block in range(a["blocks"]):
                prefix = f"{encoder}.layer{stage + 1}.{block}"
                conv(f"{prefix}.conv1", channels, width, 3)
                norm(f"{prefix}.bn1", width)
                conv(f"{prefix}.conv2", width, width, 3)
                norm(f"{prefix}.bn2", width, gain=0.0)
                if (stage > 0 and block == 0) or channels != width:
                    conv(f"{prefix}.downsample.0", channels, width, 1)
                    norm(f"{prefix}.downsample.1", width)
                channels = width
    for name in [n for n in params if n.startswith("target_encoder.")]:
        params[name] = params[name.removeprefix("target_")].copy()
    width = channels + a["proj"]
    linear("action_proj.0", a["action_dim"], a["proj"], bias=False)
    norm("action_proj.1", a["proj"], affine=False)
    params["agg_token"] = numpy.zeros((1, 1, width), "float32")
    for depth in range(a["depth"]):
        name = f"transformer_encoder.layers.{depth}"
        uniform(f"{name}.self_attn.in_proj_weight", (3 * width, width), (6 / (4 * width)) ** 0.5)
        params[f"{name}.self_attn.in_proj_bias"] = numpy.zeros(3 * width, "float32")
        linear(f"{name}.self_attn.out_proj", width, width)
        params[f"{name}.self_attn.out_proj.bias"][:] = 0
        linear(f"{name}.linear1", width, a["ffn"] * width)
        linear(f"{name}.linear2", a["ffn"] * width, width)
        norm(f"{name}.norm1", width, stats=False)
        norm(f"{name}.norm2", width, stats=False)
    norm("transformer_encoder.norm", width, stats=False)
    linear("predictor.0", width + a["proj"], a["hidden"], bias=False)
    norm("predictor.1", a["hidden"])
    linear("predictor.3", a["hidden"], channels)
    return params, buffers


class JaxPeer:
    """The same step inside one jit, state donated."""

    def __init__(self, args):
        # XLA takes its thread count from the processors the process may use
        cpus = sorted(os.sched_getaffinity(0))
        if args.threads < len(cpus):
            os.sched_setaffinity(0, cpus[: args.threads])
        os.environ["JAX_PLATFORMS"] = "cpu"
        self.jax = importlib.import_module("jax")
        self.numpy = importlib.import_module("numpy")
        self.import_rss_bytes = peak_rss_bytes()
        self.args = args

    def versions(self):
        jaxlib = importlib.import_module("jaxlib")
        return {"jax": self.jax.__version__, "jaxlib": jaxlib.__version__}

    def build(self, model_args, workload):
        args = self.args
        generator = self.numpy.random.default_rng(0)
        params, buffers = initial_state(model_args, 3, generator)

        def normal(*shape):
            return generator.standard_normal(shape, dtype="float32")

        width = model_args["widths"][-1]
        if workload == "train":
            image = (args.size, args.size, 3)
            inputs = (
                normal(args.batch, args.views, *image),
                normal(args.batch, *image),
                normal(args.batch, args.views, args.action_dim),
            )
            self.train(model_args, params, buffers, inputs, "loss", ADAMW, EMA_DECAY)
        elif workload == "encoder":
            self.encode(model_args, params, buffers, normal(args.batch, args.size, args.size, 3))
        else:
            kept = ("agg_token", "transformer_encoder.", "predictor.")
            params = {k: v for k, v in params.items() if k.startswith(kept)}
            buffers = {k: v for k, v in buffers.items() if k.startswith(kept)}
            inputs = (
                normal(args.batch, args.views, width),
                normal(args.batch, args.views, args.proj),
                normal(args.batch, args.proj),
                normal(args.batch, width),
            )
            self.train(model_args, params, buffers, inputs, "predict_loss", ADAMW, None)

    def train(self, model_args, params, buffers, inputs, loss_name, recipe, decay):
        jax, np = self.jax, self.jax.numpy
        model = JaxModel(jax, model_args, self.args.precision == "bf16")
        lr, eps, weight_decay = recipe["lr"], recipe["eps"], recipe["weight_decay"]
        beta1, beta2 = recipe["betas"]
        trainable = {k: v for k, v in params.items() if not k.startswith("target_encoder.")}
        target = {k: v for k, v in params.items() if k.startswith("target_encoder.")}
        zeros = {k: self.numpy.zeros_like(v) for k, v in trainable.items()}
        state = (trainable, target, buffers, zeros, zeros, self.numpy.float32(0))
        state = jax.tree.map(lambda v: jax.device_put(v).copy(), state)
        inputs = jax.device_put(inputs)

        def loss_function(trainable, target, buffers, key, inputs):
            model.bind({**trainable, **target}, buffers, True, key)
            return getattr(model, loss_name)(*inputs), {**buffers, **model.moved}

        def update(state, inputs):
            trainable, target, buffers, m, v, count = state
            key = jax.random.fold_in(jax.random.key(0), count.astype(np.int32))
            differentiate = jax.value_and_grad(loss_function, has_aux=True)
            (loss, buffers), grads = differentiate(trainable, target, buffers, key, inputs)
            count = count + 1
            scale1, scale2 = 1 - beta1**count, 1 - beta2**count
            m = {k: beta1 * m[k] + (1 - beta1) * g for k, g in grads.items()}
            v = {k: beta2 * v[k] + (1 - beta2) * g * g for k, g in grads.items()}
            trainable = {
                k: p * (1 - lr * weight_decay)
                - lr / scale1 * m[k] / (np.sqrt(v[k]) / np.sqrt(scale2) + eps)
                for k, p in trainable.items()
            }
            target = {
                k: decay * p + (1 - decay) * trainable[k.removeprefix("target_")]
                for k, p in target.items()
            }
            return loss, (trainable, target, buffers, m, v, count)

        compiled = jax.jit(update, donate_argnums=0)
        self.state = state

        def step():
            loss, self.state = compiled(self.state, inputs)
            jax.block_until_ready(self.state)
            return float(loss)

        self.step = step

    def encode(self, model_args, params, buffers, x):
        jax = self.jax
        model = JaxModel(jax, model_args, self.args.precision == "bf16")
        params, buffers, x = jax.device_put((params, buffers, x))

        @jax.jit
        def forward(params, buffers, x):
            model.bind(params, buffers, False, None)
            return model.encoder("encoder", x)

        def step():
            return float(forward(params, buffers, x).mean())

        self.step = step

    def build_check(self, model_args, params, inputs, recipe):
        buffers = {k: v for k, v in params.items() if ".running_" in k}
        params = {
            k: v.transpose(2, 3, 1, 0) if v.ndim == 4 else v
            for k, v in params.items()
            if k not in buffers and not k.endswith("num_batches_tracked")
        }
        inputs = (
            inputs["views"].transpose(0, 1, 3, 4, 2),
            inputs["next"].transpose(0, 2, 3, 1),
            inputs["actions"],
        )
        self.train(model_args, params, buffers, inputs, "loss", recipe, recipe["ema_decay"])


# --- the process -----------------------------------------------------------


def check(peer, folder, out):
    """Trains on a parity fixture; 0 if the losses are those of the f64 reference."""
    from safetensors.numpy import load_file

    case = json.loads((folder / "case.json").read_text())
    recipe = dict(case["train"])
    steps = recipe.pop("steps")
    params = load_file(str(folder / "params.safetensors"))
    inputs = load_file(str(folder / "inputs.safetensors"))
    peer.build_check(case["model"], params, inputs, recipe)
    wanted = json.loads((folder / "losses.json").read_text())
    worst = max(abs(peer.step() - wanted[i]) / abs(wanted[i]) for i in range(steps))
    bound = 1e-4 if peer.args.precision == "f32" else 5e-2
    print(f"{peer.args.peer}: largest relative deviation of {steps} losses {worst:.2e}", file=out)
    return 0 if worst <= bound else 1


def serve(peer, args, out):
    """The line protocol of the module's docstring."""

    def say(record):
        out.write(json.dumps(record) + "\n")
        out.flush()

    start = time.perf_counter()
    model_args = dict(
        widths=args.widths,
        blocks=args.blocks,
        stem=args.stem,
        action_dim=args.action_dim,
        proj=args.proj,
        heads=args.heads,
        depth=args.depth,
        hidden=args.hidden,
        ffn=args.ffn,
        dropout=args.dropout,
    )
    peer.build(model_args, args.workload)
    build_s = time.perf_counter() - start
    start = time.perf_counter()
    first_loss = peer.step()
    first_step_s = time.perf_counter() - start
    for _ in range(args.warmup):
        peer.step()
    say(
        {
            "ready": True,
            "peer": args.peer,
            "build_s": build_s,
            "first_step_s": first_step_s,
            "first_loss": first_loss,
            "import_rss_bytes": peer.import_rss_bytes,
        }
    )
    steps, value = 0, first_loss
    for line in sys.stdin:
        if line.strip() != "step":
            say({"error": f"unknown command {line.strip()!r}"})
            continue
        start = time.perf_counter()
        value = peer.step()
        say({"step_s": time.perf_counter() - start})
        steps += 1
    say(
        {
            "done": True,
            "steps": steps,
            "last_loss": value,
            "peak_rss_bytes": peak_rss_bytes(),
            "versions": dict(peer.versions(), python=platform.python_version()),
        }
    )


def widths(text):
    return tuple(int(word) for word in text.split(","))


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peer", choices=PEERS, required=True)
    parser.add_argument("--workload", choices=WORKLOADS, default="train")
    parser.add_argument("--model", help="of --workload zoo, such as gpt2")
    parser.add_argument("--precision", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=1, help="steps after the first")
    parser.add_argument("--size", type=int, default=32, help="height and width of images")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--views", type=int, default=3, help="observed views (N)")
    parser.add_argument("--stem", choices=("small", "narrow", "imagenet"), default="small")
    parser.add_argument("--widths", type=widths, default=(64, 128, 256, 512))
    parser.add_argument("--blocks", type=int, default=2, help="blocks a stage")
    parser.add_argument("--action-dim", type=int, default=9)
    parser.add_argument("--proj", type=int, default=128)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--hidden", type=int, default=1024)
    parser.add_argument("--ffn", type=int, default=4)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--check", type=pathlib.Path, metavar="DIR", help="parity fixture")
    return parser.parse_args()


def main():
    args = parse_args()
    os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")
    # results go to our own copy of stdout; anything a library prints goes to stderr
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if args.peer == "jax" and args.workload == "zoo":
        sys.exit("RuntimeError: no model of models/zoo is written in JAX")
    peer = JaxPeer(args) if args.peer == "jax" else TorchPeer(args)
    if args.check:
        return check(peer, args.check, out)
    serve(peer, args, out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
