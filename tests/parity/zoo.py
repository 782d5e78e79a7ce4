"""The models of models/zoo in PyTorch: torchvision's classes, GPT-2 with nanoGPT's names, those of zoo_text.py and zoo_images.py.

Each takes what the entry of its file takes, such as (images, labels) or (tokens, targets), and returns loss and logits.
CASES are narrow versions of them for the parity fixtures, FULL the models as
they are, for check_full.py and bench/peers.py.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.efficientnet import MBConvConfig
from torchvision.ops.misc import Conv2dNormActivation

import zoo_images
import zoo_text


def classifier(base):
    """A torchvision class whose forward also takes labels and returns loss and logits."""

    def forward(self, image, label):
        logits = base.forward(self, image)
        return F.cross_entropy(logits, label), logits

    return type(base.__name__, (base,), {"forward": forward})


class MobileNetV2(classifier(models.MobileNetV2)):
    """With widths of its own, where torchvision fixes the first and the last."""

    def __init__(self, stem=32, last=1280, dropout=0.0, classes=1000, stages=None):
        if stages is None:
            super().__init__(num_classes=classes, dropout=dropout)
            return
        # the multiplier scales these too
        scaled = [[t, c * 32 // stem, n, s] for t, c, n, s in stages]
        super().__init__(classes, stem / 32, scaled, 1, dropout=dropout)
        self.features[-1] = Conv2dNormActivation(
            stages[-1][1], last, kernel_size=1, activation_layer=nn.ReLU6
        )
        self.classifier[1] = nn.Linear(last, classes)


class EfficientNet(classifier(models.EfficientNet)):
    # expansion, kernel, stride, width, blocks
    STAGES = [
        [1, 3, 1, 16, 1],
        [6, 3, 2, 24, 2],
        [6, 5, 2, 40, 2],
        [6, 3, 2, 80, 3],
        [6, 5, 1, 112, 3],
        [6, 5, 2, 192, 4],
        [6, 3, 1, 320, 1],
    ]

    def __init__(self, stem=32, last=1280, dropout=0.0, drop_path=0.0, classes=1000, stages=None):
        settings, width = [], stem
        for expansion, kernel, stride, outputs, blocks in stages or self.STAGES:
            settings.append(MBConvConfig(expansion, kernel, stride, width, outputs, blocks))
            # its own widths are rounded to multiples of 8
            settings[-1].input_channels, settings[-1].out_channels = width, outputs
            width = outputs
        for setting in settings:
            setting.adjust_channels = lambda width, factor, _=None: int(width * factor)
        super().__init__(settings, dropout, drop_path, classes, last_channel=last)


class ConvNeXt(classifier(models.ConvNeXt)):
    def __init__(
        self,
        widths=(96, 192, 384, 768),
        blocks=(3, 3, 9, 3),
        scale=1e-6,
        drop_path=0.0,
        classes=1000,
    ):
        following = list(widths[1:]) + [None]
        settings = [CNBlockConfig(*stage) for stage in zip(widths, following, blocks)]
        super().__init__(settings, drop_path, scale, classes)


class ResNet50(classifier(models.ResNet)):
    """With a width of its own, where torchvision's is 64."""

    def __init__(self, width=64, blocks=(3, 4, 6, 3), classes=1000):
        self.width = width
        super().__init__(models.resnet.Bottleneck, list(blocks), classes)
        if width != 64:
            self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(width)
            self.fc = nn.Linear(32 * width, classes)

    def _make_layer(self, block, planes, blocks, stride=1, dilate=False):
        if planes == 64:
            self.inplanes = self.width
        return super()._make_layer(block, planes * self.width // 64, blocks, stride, dilate)


class ViT(classifier(models.VisionTransformer)):
    def __init__(self, size=224, patch=16, width=384, depth=12, num_heads=6, hidden=1536, classes=1000):
        super().__init__(size, patch, depth, num_heads, width, hidden, num_classes=classes)


class Swin(classifier(models.SwinTransformer)):
    def __init__(
        self, patch=4, width=96, depths=(2, 2, 6, 2), heads=(3, 6, 12, 24), window=7, classes=1000
    ):
        pairs = [patch] * 2, width, list(depths), list(heads), [window] * 2
        super().__init__(*pairs, stochastic_depth_prob=0.0, num_classes=classes)


class CausalSelfAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)
        self.heads = heads

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.c_attn(x).split(width, dim=2)
        q, k, v = (
            t.view(batch, length, self.heads, width // self.heads).transpose(1, 2) for t in (q, k, v)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(y.transpose(1, 2).reshape(batch, length, width))


class MLP(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = CausalSelfAttention(width, heads)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = MLP(width)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT2(nn.Module):
    def __init__(self, vocabulary=50257, length=1024, width=384, depth=6, heads=6):
        super().__init__()
        self.transformer = nn.ModuleDict(
            dict(
                wte=nn.Embedding(vocabulary, width),
                wpe=nn.Embedding(length, width),
                h=nn.ModuleList(Block(width, heads) for _ in range(depth)),
                ln_f=nn.LayerNorm(width),
            )
        )
        for name, p in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(p)
            elif p.dim() > 1:
                std = 0.02 / math.sqrt(2 * depth) if name.endswith("c_proj.weight") else 0.02
                nn.init.normal_(p, 0, std)

    def forward(self, tokens, target):
        t = self.transformer
        x = t.wte(tokens) + t.wpe.weight[: tokens.shape[1]]
        for block in t.h:
            x = block(x)
        logits = F.linear(t.ln_f(x), t.wte.weight)
        return F.cross_entropy(logits.flatten(0, 1), target.flatten()), logits


def image_inputs(batch, size, classes):
    return {
        "image": torch.randn(batch, 3, size, size),
        "label": torch.randint(0, classes, (batch,)),
    }


def token_inputs(batch, length, vocabulary):
    return {
        "tokens": torch.randint(0, vocabulary, (batch, length)),
        "target": torch.randint(0, vocabulary, (batch, length)),
    }


def case(seed, model, inputs, returns=("loss", "logits"), **args):
    return dict(seed=seed, model=model, args=args, inputs=inputs, returns=list(returns))


# the settings of tests/parity/zoo_*.jepa
CASES = {
    "zoo_mobilenet_v2": case(
        1,
        MobileNetV2,
        lambda: image_inputs(4, 24, 5),
        stem=8,
        last=24,
        classes=5,
        stages=[[1, 4, 1, 1], [3, 6, 2, 2], [2, 8, 1, 2], [2, 10, 2, 1]],
    ),
    "zoo_efficientnet_b0": case(
        1,
        EfficientNet,
        lambda: image_inputs(4, 24, 5),
        stem=8,
        last=24,
        classes=5,
        stages=[[1, 3, 1, 6, 1], [3, 3, 2, 8, 2], [2, 5, 2, 10, 2], [2, 5, 1, 12, 1]],
    ),
    "zoo_convnext_t": case(
        1,
        ConvNeXt,
        lambda: image_inputs(4, 32, 5),
        widths=[8, 12, 16],
        blocks=[1, 2, 1],
        scale=0.5,
        classes=5,
    ),
    "zoo_resnet50": case(
        1, ResNet50, lambda: image_inputs(8, 32, 5), width=4, blocks=[1, 2, 1, 1], classes=5
    ),
    "zoo_vit_s": case(
        1,
        ViT,
        lambda: image_inputs(4, 16, 5),
        size=16,
        patch=4,
        width=16,
        depth=2,
        num_heads=2,
        hidden=32,
        classes=5,
    ),
    "zoo_gpt2": case(
        1,
        GPT2,
        lambda: token_inputs(3, 10, 37),
        vocabulary=37,
        length=16,
        width=16,
        depth=2,
        heads=2,
    ),
    # sides of 9 and 5: windows are filled up, and so are pairs of rows
    "zoo_swin_t": case(
        1,
        Swin,
        lambda: image_inputs(2, 18, 5),
        patch=2,
        width=8,
        depths=[2, 2],
        heads=[2, 4],
        window=4,
        classes=5,
    ),
    "zoo_bert": case(
        1,
        zoo_text.Bert,
        lambda: zoo_text.bert_inputs(3, 10, 37),
        vocabulary=37,
        length=16,
        width=16,
        depth=2,
        heads=2,
        hidden=32,
    ),
    "zoo_llama": case(
        1,
        zoo_text.Llama,
        lambda: token_inputs(3, 10, 37),
        vocabulary=37,
        width=16,
        depth=2,
        heads=4,
        groups=2,
        hidden=24,
    ),
    "zoo_lstm_lm": case(
        1, zoo_text.RNNModel, lambda: token_inputs(3, 10, 37), vocabulary=37, width=12, hidden=16
    ),
    "zoo_gcn": case(
        1,
        zoo_text.GCN,
        lambda: zoo_text.graph_inputs(20, 60, 6, 4),
        features=6,
        hidden=8,
        classes=4,
    ),
    # an odd side: what is doubled again must be filled up
    "zoo_unet": case(
        1, zoo_images.UNet, lambda: zoo_images.pixel_inputs(4, 18, 3), width=1, classes=3
    ),
    "zoo_ddpm": case(
        1,
        zoo_images.UNet2DModel,
        lambda: zoo_images.diffusion_inputs(3, 8),
        ("loss", "predicted"),
        widths=[4, 8],
        layers=1,
        attention=[False, True],
        groups=2,
    ),
    "zoo_vae": case(
        1,
        zoo_images.VAE,
        lambda: zoo_images.latent_inputs(4, 16, 5),
        ("loss", "again", "kld"),
        size=16,
        latent=5,
        widths=[4, 6, 8],
    ),
    "zoo_mae": case(
        1,
        zoo_images.MAE,
        lambda: zoo_images.masked_inputs(3, 16, 4),
        ("loss", "predicted"),
        size=16,
        patch=4,
        width=16,
        depth=2,
        heads=2,
        decoder_width=8,
        decoder_depth=1,
        decoder_heads=2,
    ),
    "zoo_dino": case(
        1,
        zoo_images.DINO,
        lambda: zoo_images.crops(2, 16, 2, 8),
        ("loss", "told"),
        size=16,
        patch=4,
        width=12,
        depth=1,
        heads=2,
        hidden=16,
        bottleneck=6,
        outputs=10,
    ),
}


def full(
    name,
    model,
    inputs,
    settings=(),
    bench=None,
    returns=("loss", "logits"),
    clip=None,
    decay=None,
    args=None,
    **optimizer,
):
    """`optimizer` is that of the model file: SGD if it has a momentum, else AdamW."""
    spec = case(1, model, lambda: inputs(2), returns, **(args or {}))
    spec.update(file=f"models/zoo/{name}.jepa", settings=settings, clip=clip, decay=decay)
    spec.update(inputs_of=inputs, bench=bench or {}, optimizer=optimizer)
    return spec


def tokens(batch):
    return token_inputs(batch, 256, 50257)


def images(size):
    return lambda batch: image_inputs(batch, size, 1000)


SGD = dict(momentum=0.9)
VIT_B = dict(width=768, num_heads=12, hidden=3072)
# torchvision's dropout, which bench/compare keeps
DROPOUT = dict(settings=["dropout=0"], bench=dict(dropout=0.2))
FULL = {
    row["file"].split("/")[-1].split(".")[0]: row
    for row in (
        full("mobilenet_v2", MobileNetV2, images(128), **DROPOUT, lr=0.045, weight_decay=4e-5, **SGD),
        full("efficientnet_b0", EfficientNet, images(128), **DROPOUT, lr=0.1, weight_decay=2e-5, **SGD),
        full("convnext_t", ConvNeXt, images(224), lr=1e-3, weight_decay=0.05),
        full("resnet50", ResNet50, images(128), lr=0.1, weight_decay=1e-4, **SGD),
        full("vit_s", ViT, images(224), lr=3e-3, weight_decay=0.3),
        full("gpt2", GPT2, tokens, lr=6e-4, weight_decay=0.1),
        full("vit_b", ViT, images(224), args=VIT_B, bench=VIT_B, lr=3e-3, weight_decay=0.3),
        full("swin_t", Swin, images(224), lr=1e-3, weight_decay=0.05),
        full(
            "bert",
            zoo_text.Bert,
            zoo_text.bert_bench,
            settings=["dropout=0"],
            lr=1e-4,
            weight_decay=0.01,
        ),
        full(
            "llama",
            zoo_text.Llama,
            lambda batch: token_inputs(batch, 256, 32000),
            lr=3e-4,
            weight_decay=0.1,
        ),
        full(
            "lstm_lm",
            zoo_text.RNNModel,
            lambda batch: token_inputs(batch, 64, 10000),
            clip=0.25,
            lr=1.0,
            momentum=0.0,
        ),
        full("gcn", zoo_text.GCN, zoo_text.graph_bench, lr=0.01, weight_decay=5e-4),
        full("unet", zoo_images.UNet, lambda batch: zoo_images.pixel_inputs(batch, 128, 2), lr=1e-4),
        full(
            "ddpm",
            zoo_images.UNet2DModel,
            lambda batch: zoo_images.diffusion_inputs(batch, 32),
            returns=("loss", "predicted"),
            clip=1.0,
            lr=2e-4,
            weight_decay=0.0,
        ),
        full(
            "vae",
            zoo_images.VAE,
            lambda batch: zoo_images.latent_inputs(batch, 64, 128),
            returns=("loss", "again", "kld"),
            lr=5e-3,
            weight_decay=0.0,
        ),
        full(
            "mae",
            zoo_images.MAE,
            lambda batch: zoo_images.masked_inputs(batch, 224, 16),
            returns=("loss", "predicted"),
            lr=1.5e-4,
            betas=(0.9, 0.95),
            weight_decay=0.05,
        ),
        full(
            "dino",
            zoo_images.DINO,
            lambda batch: zoo_images.crops(batch, 224, 4, 96),
            returns=("loss", "told"),
            clip=3.0,
            decay=0.996,
            lr=5e-4,
            weight_decay=0.04,
        ),
    )
}
