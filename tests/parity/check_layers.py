#!/usr/bin/env python3
"""Layers and losses of the library against torch.nn: values and gradients of parameters. By hand: check_layers.py JEPAC, with PyTorch
and safetensors."""
import re
import subprocess
import sys
import tempfile

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

jepac = sys.argv[1]
only = sys.argv[2] if len(sys.argv) > 2 else ""  # a regular expression of names
folder = tempfile.mkdtemp()
torch.manual_seed(0)
status = 0


def check(name, fields, expression, inputs, module, function):
    global status
    if not re.search(only, name):
        return
    types = {torch.int64: "i64", torch.float32: "f32", torch.bool: "bool"}
    arguments = ", ".join(f"{k}: {types[v.dtype]}{list(v.shape)}" for k, v in inputs.items())
    with open(f"{folder}/{name}.jepa", "w") as f:
        f.write(f"model M() {{\n{fields}  entry forward({arguments}) {{\n    y = {expression}\n    loss = sum(y * y)\n    return loss, y\n  }}\n}}\n")
    save_file({k: v.contiguous() for k, v in inputs.items()}, f"{folder}/x")
    words = [jepac, "run", f"{folder}/{name}.jepa", "--inputs", f"{folder}/x", "--outputs", f"{folder}/y", "--grad", "--mode", "eval", "-q"]
    parameters = list(module.named_parameters()) if module else []
    if parameters:
        save_file({"net." + k: v.contiguous() for k, v in module.state_dict().items()}, f"{folder}/p")
        words += ["--params", f"{folder}/p"]
    subprocess.run(words, check=True)
    got, want = load_file(f"{folder}/y"), function(**inputs)
    errors = [((got["y"] - want).abs().max() / want.abs().max()).item()]
    if parameters:
        (want * want).sum().backward()
    for k, p in parameters:
        errors.append(((got["grad.net." + k] - p.grad).abs().max() / p.grad.abs().max().clamp(min=1e-9)).item())
    good = max(errors) < 2e-5
    status |= not good
    print(f"{name:8} {max(errors):.1e} {'ok' if good else 'WRONG'}", flush=True)


def layer(name, text, module, *shape):
    for p in module.parameters():
        p.data.add_(torch.randn_like(p) * 0.2)
    check(name, f"  net = {text}\n", "net(x)", {"x": torch.randn(*shape)}, module, lambda x: module(x))


def loss(name, expression, function, **inputs):
    check(name, "", expression, inputs, None, function)


layer("rms", "RMSNorm(6, eps = 1e-5)", nn.RMSNorm(6, eps=1e-5), 3, 4, 6)
layer("group", "GroupNorm(2, 6)", nn.GroupNorm(2, 6), 3, 6, 4, 5)
layer("group_1", "GroupNorm(3, 6, affine = false)", nn.GroupNorm(3, 6, affine=False), 3, 6, 4)
layer("instance", "InstanceNorm(4, affine = true)", nn.InstanceNorm2d(4, affine=True), 3, 4, 5, 6)
layer("conv1d", "Conv1d(4, 6, 3, stride = 2, pad = 1, dilation = 2, groups = 2)", nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), 2, 4, 15)
layer("turned", "ConvTranspose2d(4, 6, 3, stride = 2, pad = 1, output_pad = 1, groups = 2)",
      nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), 2, 4, 5, 6)
layer("turned_4", "ConvTranspose2d(4, 3, 4, stride = 2, pad = 1, bias = false)", nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1, bias=False), 2, 4, 5, 6)
layer("conv3d", "Conv3d(4, 6, 3, stride = 2, pad = 1, dilation = 2, groups = 2)", nn.Conv3d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), 2, 4, 7, 8, 9)
layer("conv3d_1", "Conv3d(3, 5, 2, bias = false)", nn.Conv3d(3, 5, 2, bias=False), 2, 3, 4, 5, 6)
for mode in ("reflect", "replicate", "circular"):
    layer("c1_" + mode, f'Conv1d(4, 6, 3, pad = 2, padding_mode = "{mode}")', nn.Conv1d(4, 6, 3, padding=2, padding_mode=mode), 2, 4, 9)
    layer("c2_" + mode, f'Conv2d(4, 6, 3, pad = 2, padding_mode = "{mode}")', nn.Conv2d(4, 6, 3, padding=2, padding_mode=mode), 2, 4, 5, 6)
    layer("c3_" + mode, f'Conv3d(2, 3, 3, pad = 1, padding_mode = "{mode}")', nn.Conv3d(2, 3, 3, padding=1, padding_mode=mode), 2, 2, 4, 5, 6)
layer("turned1", "ConvTranspose1d(4, 6, 3, stride = 2, pad = 1, output_pad = 1, groups = 2)", nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), 2, 4, 7)
layer("turned3", "ConvTranspose3d(4, 6, 3, stride = 2, pad = 1, output_pad = 1, groups = 2)",
      nn.ConvTranspose3d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), 2, 4, 3, 4, 5)
for kind, new in (("LSTM", nn.LSTM), ("GRU", nn.GRU)):
    for layers, bias, first, both in ((1, True, False, False), (2, True, True, False), (3, False, False, True), (2, True, False, True), (1, True, True, True)):
        words = {"layers": layers, "bias": bias, "batch_first": first, "bidirectional": both}
        net = new(5, 4, layers, bias=bias, batch_first=first, bidirectional=both)
        text = ", ".join(f"{k} = {str(v).lower()}" for k, v in words.items())
        for p in net.parameters():
            p.data.add_(torch.randn_like(p) * 0.2)
        begin = torch.randn(layers * (1 + both), 3, 4)
        x = torch.randn(*([3, 7, 5] if first else [7, 3, 5]))
        name = f"{kind.lower()}_{layers}{'bf'[bias]}{'sb'[first]}{'ud'[both]}"
        flat = lambda parts: torch.cat([p.flatten() for p in parts])
        given = {"x": x, "h": begin, "c": begin * 0.5} if kind == "LSTM" else {"x": x, "h": begin}
        out = ", ".join(f"reshape(net({', '.join(given)})[{i}], [-1])" for i in range(len(given)))
        check(name, f"  net = {kind}(5, 4, {text})\n", f"concat({out}, axis = 0)", given, net,
              lambda x, h, c=None: flat([net(x, (h, c))[0], *net(x, (h, c))[1]] if kind == "LSTM" else net(x, h)))
        check(name + "_0", f"  net = {kind}(5, 4, {text})\n", "net(x)[0]", {"x": x}, net, lambda x: (net.zero_grad(), net(x)[0])[1])
for n in (1, 2, 3):
    x = torch.randn(2, 3, *[7, 8, 9][:n])
    for more, ceil in (("", False), (", ceil_mode = true", True)):
        loss(f"max{n}_{ceil}", f"max_pool(x, 3, 2, 1{more})", lambda x: getattr(F, f"max_pool{n}d")(x, 3, 2, 1, ceil_mode=ceil), x=x)
        loss(f"avg{n}_{ceil}", f"avg_pool(x, 3, 2, 1{more})", lambda x: getattr(F, f"avg_pool{n}d")(x, 3, 2, 1, ceil_mode=ceil), x=x)
    sizes = [3, 5, 4][:n]
    loss(f"aavg{n}", f"adaptive_avg_pool(x, {sizes})", lambda x: getattr(F, f"adaptive_avg_pool{n}d")(x, sizes), x=x)
    loss(f"amax{n}", f"adaptive_max_pool(x, {sizes})", lambda x: getattr(F, f"adaptive_max_pool{n}d")(x, sizes), x=x)
    linear = ["linear", "bilinear", "trilinear"][n - 1]
    for k, size in enumerate(([11, 5, 12][:n], [4, 13, 3][:n])):
        loss(f"near{n}_{k}", f"interpolate(x, {size})", lambda x: F.interpolate(x, size), x=x)
        loss(f"exact{n}_{k}", f'interpolate(x, {size}, mode = "nearest-exact")', lambda x: F.interpolate(x, size, mode="nearest-exact"), x=x)
        for corner in (False, True):
            loss(f"lin{n}_{k}_{corner}", f'interpolate(x, {size}, mode = "linear", align_corners = {str(corner).lower()})',
                 lambda x: F.interpolate(x, size, mode=linear, align_corners=corner), x=x)
    loss(f"scale{n}", f'interpolate(x, scale = 2.5, mode = "linear")', lambda x: F.interpolate(x, scale_factor=2.5, mode=linear), x=x)
for corner in (False, True):
    loss(f"cubic_{corner}", f'interpolate(x, [9, 5], mode = "cubic", align_corners = {str(corner).lower()})',
         lambda x: F.interpolate(x, [9, 5], mode="bicubic", align_corners=corner), x=torch.randn(2, 3, 6, 7))
a, b, t, w = torch.randn(4, 5), torch.randn(4, 5), torch.rand(4, 5), torch.rand(5)
some, all_ = torch.tensor([0, 2, -100, 4]), torch.tensor([0, 2, 1, 4])
loss("l1", "l1_loss(a, b)", lambda a, b: F.l1_loss(a, b), a=a, b=b)
loss("smooth", "smooth_l1_loss(a, b, 0.7)", lambda a, b: F.smooth_l1_loss(a, b, beta=0.7), a=a, b=b)
loss("huber", "huber_loss(a, b, 0.7)", lambda a, b: F.huber_loss(a, b, delta=0.7), a=a, b=b)
loss("logits", "bce_with_logits(a, t, 3)", lambda a, t: F.binary_cross_entropy_with_logits(a, t, pos_weight=torch.tensor(3.0)), a=a, t=t)
loss("bce", "bce(p, t)", lambda p, t: F.binary_cross_entropy(p, t), p=torch.sigmoid(a), t=t)
loss("kl", "kl_div(a, b)", lambda a, b: F.kl_div(a, b, reduction="batchmean"), a=F.log_softmax(a, 1), b=F.softmax(b, 1))
for axes in ((), (3,), (3, 2)):
    x, l = torch.randn(4, 5, *axes), torch.randint(0, 5, (4, *axes))
    p, w_ = torch.rand(4, 5, *axes), w
    loss(f"ce_{len(axes)}", "cross_entropy(x, l)", lambda x, l: F.cross_entropy(x, l), x=x, l=l)
    loss(f"ce_w{len(axes)}", "weighted_cross_entropy(x, l, w, label_smoothing = 0.1, ignore_index = 2)",
         lambda x, l, w: F.cross_entropy(x, l, weight=w, label_smoothing=0.1, ignore_index=2), x=x, l=l, w=w_)
    loss(f"ce_p{len(axes)}", "soft_cross_entropy(x, p, w, label_smoothing = 0.1)", lambda x, p, w: F.cross_entropy(x, p, weight=w, label_smoothing=0.1), x=x, p=p, w=w_)
# CTC of logits that parameters make: repeated labels, none at all, fewer steps, an impossible one
ctc = nn.Linear(3, 6)
lengths, labels = torch.tensor([12, 9, 12, 4, 7]), torch.tensor([[1, 1, 2, 5], [3, 0, 0, 0], [0, 0, 0, 0], [2, 4, 1, 1], [2, 2, 2, 2]])
counts = torch.tensor([4, 1, 0, 3, 4])
for how, zero in (("mean", True), ("sum", True), ("mean", False)):
    few = slice(None) if zero else slice(0, 4)  # the last has too few steps
    check(f"ctc_{how}_{zero}", "  net = Linear(3, 6)\n", f'ctc_loss(log_softmax(net(x)), l, n, m, reduction = "{how}", zero_infinity = {str(zero).lower()})',
          {"x": torch.randn(12, 5, 3)[:, few], "l": labels[few], "n": lengths[few], "m": counts[few]}, ctc,
          lambda x, l, n, m: (ctc.zero_grad(), F.ctc_loss(F.log_softmax(ctc(x), 2), l, n, m, reduction=how, zero_infinity=zero))[1])
# attention: masks, keys of another length
att = nn.MultiheadAttention(8, 2, batch_first=True)
for p in att.parameters():
    p.data.add_(torch.randn_like(p) * 0.2)
x, key = torch.randn(3, 5, 8), torch.randn(3, 7, 8)
blocked, padding = torch.rand(5, 7) < 0.3, torch.arange(7)[None] >= torch.tensor([[7], [4], [2]])
blocked[:, 0] = False
causal = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1)


def attention(name, arguments, inputs, function):
    check(name, "  net = MultiheadAttention(8, 2)\n", f"net({arguments})", inputs, att, lambda **k: (att.zero_grad(), function(**k)[0])[1])


attention("att", "x", {"x": x}, lambda x: att(x, x, x))
attention("att_key", "x, k, k", {"x": x, "k": key}, lambda x, k: att(x, k, k))
attention("att_kv", "x, k, 0.5 * k", {"x": x, "k": key}, lambda x, k: att(x, k, 0.5 * k))
attention("att_mask", "x, k, attn_mask = m, key_padding_mask = q", {"x": x, "k": key, "m": blocked, "q": padding},
          lambda x, k, m, q: att(x, k, k, attn_mask=m, key_padding_mask=q))
attention("att_add", "x, k, attn_mask = m", {"x": x, "k": key, "m": torch.randn(5, 7)}, lambda x, k, m: att(x, k, k, attn_mask=m))
attention("att_each", "x, k, attn_mask = m", {"x": x, "k": key, "m": torch.randn(6, 5, 7)}, lambda x, k, m: att(x, k, k, attn_mask=m))
attention("att_causal", "x, is_causal = true", {"x": x}, lambda x: att(x, x, x, attn_mask=causal, is_causal=True))
q, kk, vv = torch.randn(2, 6, 5, 4), torch.randn(2, 3, 7, 4), torch.randn(2, 3, 7, 4)
sdp = F.scaled_dot_product_attention
loss("sdp_group", "scaled_dot_product_attention(q, k, v)", lambda q, k, v: sdp(q, k, v, enable_gqa=True), q=q, k=kk, v=vv)
loss("sdp_bool", "scaled_dot_product_attention(q, k, v, m)", lambda q, k, v, m: sdp(q, k, v, m, enable_gqa=True), q=q, k=kk, v=vv, m=~blocked)
loss("sdp_causal", "scaled_dot_product_attention(q, k, v, is_causal = true)", lambda q, k, v: sdp(q, k, v, is_causal=True, enable_gqa=True), q=q, k=kk[:, :, :5].contiguous(), v=vv[:, :, :5].contiguous())
loss("ce", "weighted_cross_entropy(a, l)", lambda a, l: F.cross_entropy(a, l), a=a, l=some)
loss("ce_w", "weighted_cross_entropy(a, l, w)", lambda a, l, w: F.cross_entropy(a, l, weight=w), a=a, l=all_, w=w)
loss("ce_s", "weighted_cross_entropy(a, l, w, label_smoothing = 0.1)", lambda a, l, w: F.cross_entropy(a, l, weight=w, label_smoothing=0.1), a=a, l=some, w=w)
sys.exit(status)
