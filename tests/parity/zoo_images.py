"""Models of models/zoo that torchvision lacks and that read images, in PyTorch, with the names that models/zoo has from elsewhere.

Each returns the loss and what it was made from.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import nn


# --- U-Net, with the names of milesial's Pytorch-UNet ------------------------


class DoubleConv(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        layers = []
        for n in (inputs, outputs):
            layers += [nn.Conv2d(n, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)]
            layers += [nn.ReLU()]
        self.double_conv = nn.Sequential(*layers)

    def forward(self, x):
        return self.double_conv(x)


class Down(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(inputs, outputs))

    def forward(self, x):
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.up = nn.ConvTranspose2d(inputs, inputs // 2, 2, stride=2)
        self.conv = DoubleConv(inputs, outputs)

    def forward(self, x, skip):
        y = self.up(x)
        h, w = skip.shape[2] - y.shape[2], skip.shape[3] - y.shape[3]
        return self.conv(torch.cat((skip, F.pad(y, (w // 2, w - w // 2, h // 2, h - h // 2))), 1))


class UNet(nn.Module):
    def __init__(self, width=64, classes=2):
        super().__init__()
        self.inc = DoubleConv(3, width)
        for i in range(4):
            wide = width * 2**i
            setattr(self, f"down{i + 1}", Down(wide, 2 * wide))
            setattr(self, f"up{4 - i}", Up(2 * wide, wide))
        self.outc = nn.ModuleDict({"conv": nn.Conv2d(width, classes, 1)})

    def forward(self, image, label):
        kept = [self.inc(image)]
        for down in (self.down1, self.down2, self.down3, self.down4):
            kept.append(down(kept[-1]))
        y = kept.pop()
        for up in (self.up1, self.up2, self.up3, self.up4):
            y = up(y, kept.pop())
        logits = self.outc["conv"](y)
        return F.cross_entropy(logits, label), logits


def pixel_inputs(batch, size, classes):
    label = torch.randint(0, classes, (batch, size, size))
    return {"image": torch.randn(batch, 3, size, size), "label": label}


# --- diffusion, with the names of diffusers' UNet2DModel ---------------------


class ResnetBlock2D(nn.Module):
    def __init__(self, inputs, outputs, embedding, groups):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs, eps=1e-6)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time_emb_proj = nn.Linear(embedding, outputs)
        self.norm2 = nn.GroupNorm(groups, outputs, eps=1e-6)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, x, t):
        h = self.conv1(F.silu(self.norm1(x))) + self.time_emb_proj(F.silu(t))[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Attention(nn.Module):
    def __init__(self, width, groups):
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x):
        a = self.group_norm(x).flatten(2).transpose(1, 2)
        q, k, v = (f(a)[:, None] for f in (self.to_q, self.to_k, self.to_v))
        y = self.to_out[0](F.scaled_dot_product_attention(q, k, v)[:, 0])
        return x + y.transpose(1, 2).reshape(x.shape)


class Sampler(nn.Module):
    def __init__(self, width, down):
        super().__init__()
        self.down = down
        self.conv = nn.Conv2d(width, width, 3, stride=2 if down else 1, padding=0 if down else 1)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)) if self.down else F.interpolate(x, scale_factor=2))


def blocks(resnets, attentions=(), downsamplers=(), upsamplers=()):
    block = nn.Module()
    block.resnets = nn.ModuleList(resnets)
    block.attentions = nn.ModuleList(attentions)
    block.downsamplers = nn.ModuleList(downsamplers)
    block.upsamplers = nn.ModuleList(upsamplers)
    return block


class UNet2DModel(nn.Module):
    def __init__(
        self,
        widths=(128, 256, 256, 256),
        layers=2,
        attention=(False, True, False, False),
        groups=32,
        times=1000,
    ):
        super().__init__()
        first, last, e = widths[0], widths[-1], 4 * widths[0]
        self.times, self.width = times, first
        self.conv_in = nn.Conv2d(3, first, 3, padding=1)
        self.time_embedding = nn.ModuleDict(
            {"linear_1": nn.Linear(first, e), "linear_2": nn.Linear(e, e)}
        )
        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        skips, before = [first], first
        for s, width in enumerate(widths):
            resnets = [
                ResnetBlock2D(width if i else before, width, e, groups) for i in range(layers)
            ]
            attentions = [Attention(width, groups) for _ in resnets] if attention[s] else []
            samplers = [Sampler(width, True)] if s + 1 < len(widths) else []
            self.down_blocks.append(blocks(resnets, attentions, samplers))
            skips += [width] * (layers + len(samplers))
            before = width
        self.mid_block = blocks(
            [ResnetBlock2D(last, last, e, groups) for _ in range(2)], [Attention(last, groups)]
        )
        for s, width in reversed(list(enumerate(widths))):
            resnets = []
            for _ in range(layers + 1):
                resnets.append(ResnetBlock2D(before + skips.pop(), width, e, groups))
                before = width
            attentions = [Attention(width, groups) for _ in resnets] if attention[s] else []
            samplers = [Sampler(width, False)] if s else []
            self.up_blocks.append(blocks(resnets, attentions, upsamplers=samplers))
        self.conv_norm_out = nn.GroupNorm(groups, first, eps=1e-6)
        self.conv_out = nn.Conv2d(first, 3, 3, padding=1)

    def noise_of(self, x, t):
        half = self.width // 2
        rate = torch.exp(torch.arange(half, dtype=x.dtype) * (-math.log(10000) / (half - 1)))
        angle = t.to(x.dtype)[:, None] * rate
        e = self.time_embedding["linear_1"](torch.cat((angle.sin(), angle.cos()), 1))
        e = self.time_embedding["linear_2"](F.silu(e))
        kept = [self.conv_in(x)]
        for block in self.down_blocks:
            for i, resnet in enumerate(block.resnets):
                y = resnet(kept[-1], e)
                kept.append(block.attentions[i](y) if len(block.attentions) else y)
            for sampler in block.downsamplers:
                kept.append(sampler(kept[-1]))
        mid = self.mid_block
        y = mid.resnets[1](mid.attentions[0](mid.resnets[0](kept[-1], e)), e)
        for block in self.up_blocks:
            for i, resnet in enumerate(block.resnets):
                y = resnet(torch.cat((y, kept.pop()), 1), e)
                y = block.attentions[i](y) if len(block.attentions) else y
            for sampler in block.upsamplers:
                y = sampler(y)
        return self.conv_out(F.silu(self.conv_norm_out(y)))

    def forward(self, image, t, noise):
        beta = torch.linspace(1e-4, 0.02, self.times, dtype=image.dtype)
        left = torch.cumprod(1 - beta, 0)[t][:, None, None, None]
        predicted = self.noise_of(left.sqrt() * image + (1 - left).sqrt() * noise, t)
        return F.mse_loss(predicted, noise), predicted


def diffusion_inputs(batch, size):
    return {
        "image": torch.randn(batch, 3, size, size),
        "t": torch.randint(0, 1000, (batch,)),
        "noise": torch.randn(batch, 3, size, size),
    }


# --- VAE, with the names of PyTorch-VAE's VanillaVAE -------------------------


def doubled(inputs, outputs):
    conv = nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1)
    return [conv, nn.BatchNorm2d(outputs), nn.LeakyReLU()]


class VAE(nn.Module):
    def __init__(self, size=64, latent=128, widths=(32, 64, 128, 256, 512), kld_weight=0.00025):
        super().__init__()
        self.kld_weight = kld_weight
        halved = [
            nn.Sequential(nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o), nn.LeakyReLU())
            for i, o in zip((3,) + tuple(widths), widths)
        ]
        self.encoder = nn.Sequential(*halved)
        self.inner = (widths[-1],) + (size // 2 ** len(widths),) * 2
        self.fc_mu = nn.Linear(math.prod(self.inner), latent)
        self.fc_var = nn.Linear(math.prod(self.inner), latent)
        self.decoder_input = nn.Linear(latent, math.prod(self.inner))
        back = list(reversed(widths))
        self.decoder = nn.Sequential(*(nn.Sequential(*doubled(*w)) for w in zip(back, back[1:])))
        self.final_layer = nn.Sequential(
            *doubled(back[-1], back[-1]), nn.Conv2d(back[-1], 3, 3, padding=1), nn.Tanh()
        )

    def forward(self, image, noise):
        h = self.encoder(image).flatten(1)
        mu, log_var = self.fc_mu(h), self.fc_var(h)
        z = mu + noise * torch.exp(0.5 * log_var)
        again = self.final_layer(self.decoder(self.decoder_input(z).unflatten(1, self.inner)))
        kld = (-0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(1)).mean()
        return F.mse_loss(again, image) + self.kld_weight * kld, again, kld


def latent_inputs(batch, size, latent):
    return {"image": torch.randn(batch, 3, size, size), "noise": torch.randn(batch, latent)}


# --- MAE and DINO, with the names of their authors' code ---------------------


class SelfAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class ViTBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = Mlp(width)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbed(nn.Module):
    def __init__(self, width, patch):
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, patch)

    def forward(self, image):
        return self.proj(image).flatten(2).transpose(1, 2)


def sinusoidal(t, width):
    rate = 10000 ** (-torch.arange(width // 2, dtype=t.dtype) / (width // 2))
    angle = t[:, None] * rate
    return torch.cat((angle.sin(), angle.cos()), 1)


def positions(grid, width, dtype):
    place = torch.arange(grid, dtype=dtype)
    row, column = torch.meshgrid(place, place, indexing="ij")
    return torch.cat([sinusoidal(t.flatten(), width // 2) for t in (column, row)], 1)


def rows(x, index):
    return torch.gather(x, 1, index[:, :, None].expand(-1, -1, x.shape[2]))


class MAE(nn.Module):
    def __init__(
        self,
        size=224,
        patch=16,
        width=768,
        depth=12,
        heads=12,
        decoder_width=512,
        decoder_depth=8,
        decoder_heads=16,
        mask_ratio=0.75,
        norm_pix=False,
    ):
        super().__init__()
        self.patch, self.grid, self.norm_pix = patch, size // patch, norm_pix
        self.kept = int(self.grid**2 * (1 - mask_ratio))
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.patch_embed = PatchEmbed(width, patch)
        self.blocks = nn.ModuleList(ViTBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.decoder_embed = nn.Linear(width, decoder_width)
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, decoder_width))
        self.decoder_blocks = nn.ModuleList(
            ViTBlock(decoder_width, decoder_heads) for _ in range(decoder_depth)
        )
        self.decoder_norm = nn.LayerNorm(decoder_width, eps=1e-6)
        self.decoder_pred = nn.Linear(decoder_width, 3 * patch**2)

    def forward(self, image, noise):
        order = noise.argsort(1)
        restore = order.argsort(1)
        x = self.patch_embed(image)
        x = x + positions(self.grid, x.shape[2], x.dtype)
        x = rows(x, order[:, : self.kept])
        x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), 1)
        for block in self.blocks:
            x = block(x)
        y = self.decoder_embed(self.norm(x))
        hidden = self.mask_token.expand(len(y), restore.shape[1] - self.kept, -1)
        full = rows(torch.cat((y[:, 1:], hidden), 1), restore)
        full = full + positions(self.grid, y.shape[2], y.dtype)
        y = torch.cat((y[:, :1], full), 1)
        for block in self.decoder_blocks:
            y = block(y)
        predicted = self.decoder_pred(self.decoder_norm(y))[:, 1:]
        parts = image.unflatten(3, (self.grid, self.patch)).unflatten(2, (self.grid, self.patch))
        target = parts.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        if self.norm_pix:
            root = (target.var(-1, keepdim=True) + 1e-6).sqrt()
            target = (target - target.mean(-1, keepdim=True)) / root
        mask = (restore >= self.kept).to(image.dtype)
        return (((predicted - target) ** 2).mean(-1) * mask).sum() / mask.sum(), predicted


def masked_inputs(batch, size, patch):
    noise = torch.rand(batch, (size // patch) ** 2)
    return {"image": torch.randn(batch, 3, size, size), "noise": noise}


class VisionTransformer(nn.Module):
    def __init__(self, size, patch, width, depth, heads):
        super().__init__()
        self.grid = size // patch
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, 1 + self.grid**2, width))
        self.patch_embed = PatchEmbed(width, patch)
        self.blocks = nn.ModuleList(ViTBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, image):
        x = self.patch_embed(image)
        place = self.pos_embed
        if x.shape[1] != self.grid**2:
            side = math.isqrt(x.shape[1])
            grid = place[:, 1:].transpose(1, 2).unflatten(2, (self.grid, self.grid))
            grid = F.interpolate(grid, size=(side, side), mode="bicubic")
            place = torch.cat((place[:, :1], grid.flatten(2).transpose(1, 2)), 1)
        x = torch.cat((self.cls_token.expand(len(x), -1, -1), x), 1) + place
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]


class NormedLinear(nn.Module):
    """nn.utils.weight_norm of a Linear without bias; weight_g is not trained."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(outputs, 1), requires_grad=False)
        self.weight_v = nn.Parameter(torch.empty(outputs, inputs))
        nn.init.kaiming_uniform_(self.weight_v, a=math.sqrt(5))

    def forward(self, x):
        return F.linear(x, self.weight_v * (self.weight_g / self.weight_v.norm(dim=1, keepdim=True)))


class DINOHead(nn.Module):
    def __init__(self, inputs, hidden, bottleneck, outputs):
        super().__init__()
        layers = [nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU()]
        self.mlp = nn.Sequential(*layers, nn.Linear(hidden, bottleneck))
        self.last_layer = NormedLinear(bottleneck, outputs)

    def forward(self, x):
        return self.last_layer(F.normalize(self.mlp(x), dim=-1))


class DINO(nn.Module):
    def __init__(
        self,
        size=224,
        patch=16,
        width=384,
        depth=12,
        heads=6,
        hidden=2048,
        bottleneck=256,
        outputs=65536,
    ):
        super().__init__()
        self.student = nn.ModuleDict(
            {
                "backbone": VisionTransformer(size, patch, width, depth, heads),
                "head": DINOHead(width, hidden, bottleneck, outputs),
            }
        )
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.register_buffer("center", torch.zeros(1, outputs))

    def forward(self, globals, locals):
        whole, parts = (x.transpose(0, 1).flatten(0, 1) for x in (globals, locals))
        backbone = self.student["backbone"]
        seen = self.student["head"](torch.cat((backbone(whole), backbone(parts)))) / 0.1
        with torch.no_grad():
            told = self.teacher["head"](self.teacher["backbone"](whole))
            q = F.softmax((told - self.center) / 0.04, -1).chunk(2)
        p = F.log_softmax(seen, -1).chunk(2 + locals.shape[1])
        terms = [-(a * b).sum(-1).mean() for i, a in enumerate(q) for j, b in enumerate(p) if i != j]
        if self.training:
            with torch.no_grad():
                self.center.mul_(0.9).add_(told.mean(0, keepdim=True), alpha=0.1)
        return sum(terms) / len(terms), told

    @torch.no_grad()
    def ema_update(self, decay):
        average = [p for p in self.teacher.parameters()]
        torch._foreach_lerp_(average, list(self.student.parameters()), 1 - decay)


def crops(batch, size, count, small):
    return {
        "globals": torch.randn(batch, 2, 3, size, size),
        "locals": torch.randn(batch, count, 3, small, small),
    }
