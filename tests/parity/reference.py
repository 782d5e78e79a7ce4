"""seq-JEPA and its parts in plain PyTorch: what the parity tests compare jepac with.

Follows arXiv 2505.03176.  Parameter names are the dotted field paths of the
model file (models/seq_jepa.jepa), so a state dict of SeqJEPA loads there as it
is.  Only the mathematics lives here; fixtures are written by make_fixtures.py
and the same classes are timed by bench/peers.py.
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut (ResNet's basic block)."""

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + shortcut)


class ResNet(nn.Module):
    """ResNet of basic blocks without classifier: images to globally pooled features.

    stem: "small"     3x3 stride 1, no max pool
          "narrow"    3x3 stride 2, no max pool
          "imagenet"  7x7 stride 2, then a 3x3 stride-2 max pool
    The first stage has stride 1, each later stage starts with stride 2.
    """

    def __init__(self, widths=(64, 128, 256, 512), blocks=2, stem="small", in_channels=3):
        super().__init__()
        if stem == "small":
            self.conv1 = nn.Conv2d(in_channels, widths[0], 3, 1, 1, bias=False)
        elif stem == "narrow":
            self.conv1 = nn.Conv2d(in_channels, widths[0], 3, 2, 1, bias=False)
        elif stem == "imagenet":
            self.conv1 = nn.Conv2d(in_channels, widths[0], 7, 2, 3, bias=False)
        else:
            raise ValueError(f"unknown stem {stem!r}")
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.maxpool = nn.MaxPool2d(3, 2, 1) if stem == "imagenet" else nn.Identity()
        self.stages = len(widths)
        channels = widths[0]
        for stage, width in enumerate(widths):
            layers = []
            for block in range(blocks):
                stride = 2 if stage > 0 and block == 0 else 1
                layers.append(BasicBlock(channels, width, stride))
                channels = width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.out = channels
        self.reset_parameters()

    def reset_parameters(self):
        """He initialisation (fan out), and zero for the last gamma of each block."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return x.mean(dim=(2, 3))


def transformer_encoder(width, heads, depth, ffn, dropout):
    """Post-norm transformer encoder with ReLU and a final layer norm."""
    layer = nn.TransformerEncoderLayer(
        width, heads, ffn * width, dropout, activation="relu", batch_first=True, norm_first=False
    )
    return nn.TransformerEncoder(layer, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False)


class SeqJEPA(nn.Module):
    """seq-JEPA: encode N views, aggregate them with their actions, predict the next view."""

    def __init__(
        self,
        widths=(64, 128, 256, 512),
        blocks=2,
        stem="small",
        in_channels=3,
        action_dim=9,
        proj=128,
        heads=4,
        depth=3,
        hidden=1024,
        ffn=4,
        dropout=0.1,
    ):
        super().__init__()
        self.encoder = ResNet(widths, blocks, stem, in_channels)
        self.target_encoder = copy.deepcopy(self.encoder)
        self.target_encoder.requires_grad_(False)
        self.action_proj = nn.Sequential(
            nn.Linear(action_dim, proj, bias=False), nn.BatchNorm1d(proj, affine=False)
        )
        width = self.encoder.out + proj
        self.agg_token = nn.Parameter(torch.zeros(1, 1, width))
        self.transformer_encoder = transformer_encoder(width, heads, depth, ffn, dropout)
        self.predictor = nn.Sequential(
            nn.Linear(width + proj, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, self.encoder.out),
        )

    def aggregate(self, z, a_obs):
        """z [B, N, D] and action embeddings [B, N, P] to the aggregate [B, D + P]."""
        token = self.agg_token.expand(z.shape[0], -1, -1)
        x = torch.cat([token, torch.cat([z, a_obs], dim=2)], dim=1)
        return self.transformer_encoder(x)[:, 0]

    def predict(self, agg, a_next):
        return self.predictor(torch.cat([agg, a_next], dim=1))

    def forward(self, views, next_view, actions):
        """views [B, N, C, H, W], next_view [B, C, H, W], actions [B, N, A] -> loss, agg, z.

        action_proj runs twice, first for the last action (which the predictor
        sees), then for all N; the last of those rows is zeroed afterwards.  Its
        running statistics therefore move twice, in that order.
        """
        batch, count = views.shape[:2]
        a_next = self.action_proj(actions[:, count - 1])
        z = self.encoder(views.flatten(0, 1)).unflatten(0, (batch, count))
        a = self.action_proj(actions.flatten(0, 1)).unflatten(0, (batch, count))
        a_obs = torch.cat([a[:, : count - 1], torch.zeros_like(a[:, count - 1 :])], dim=1)
        agg = self.aggregate(z, a_obs)
        pred = self.predict(agg, a_next)
        with torch.no_grad():
            target = self.target_encoder(next_view)
        loss = (1 - F.cosine_similarity(pred, target, dim=1)).mean()
        return loss, agg, z

    @torch.no_grad()
    def ema_update(self, decay):
        """target = decay * target + (1 - decay) * encoder, parameters only."""
        targets = list(self.target_encoder.parameters())
        sources = list(self.encoder.parameters())
        torch._foreach_lerp_(targets, sources, 1 - decay)


class MLPCase(nn.Module):
    """Linear, ReLU, Linear, cross entropy."""

    def __init__(self, inputs=20, hidden=32, classes=5):
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.fc2 = nn.Linear(hidden, classes)

    def forward(self, x, label):
        logits = self.fc2(F.relu(self.fc1(x)))
        return F.cross_entropy(logits, label), logits


class ConvCase(nn.Module):
    """Every convolution shape of a ResNet once, and one with a bias."""

    def __init__(self, classes=5):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 32, 3, 2, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)
        self.downsample = nn.Sequential(nn.Conv2d(16, 32, 1, 2, bias=False), nn.BatchNorm2d(32))
        self.conv3 = nn.Conv2d(32, 32, 3, 1, 1)
        self.fc = nn.Linear(32, classes)

    def forward(self, x, label):
        h = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        h = F.relu(self.bn2(self.conv2(h)) + self.downsample(h))
        h = F.relu(self.conv3(h))
        features = h.mean(dim=(2, 3))
        logits = self.fc(features)
        return F.cross_entropy(logits, label), logits, features


class GroupedCase(nn.Module):
    """Convolutions padded by side, dilated, in groups and depthwise with one and two results each."""

    def __init__(self, classes=5):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2)
        self.depthwise = nn.Conv2d(32, 32, 5, 1, 2, groups=32, bias=False)
        self.twice = nn.Conv2d(32, 64, 3, 1, 1, groups=32)
        self.grouped = nn.Conv2d(64, 64, 3, 2, 1, groups=8, bias=False)
        self.dilated = nn.Conv2d(64, 48, 3, 1, 2, dilation=2)
        self.wide = nn.Conv2d(48, 48, 3, 1, 1, groups=3)
        self.sparse = nn.Conv2d(48, 48, 3, 1, 2, dilation=2, groups=48)
        self.fc = nn.Linear(48, classes)

    def forward(self, x, label):
        h = torch.tanh(self.stem(F.pad(x, (1, 2, 0, 1))))  # left, right, top, bottom
        h = torch.tanh(self.twice(h + self.depthwise(h)))
        h = torch.tanh(self.dilated(torch.tanh(self.grouped(h))))
        h = self.sparse(h + torch.tanh(self.wide(h)))
        features = h.mean(dim=(2, 3))
        logits = self.fc(features)
        return F.cross_entropy(logits, label), logits, features


class TransformerCase(nn.Module):
    """Transformer encoder under a mean-square loss."""

    def __init__(self, width=32, heads=4, depth=2, ffn=2):
        super().__init__()
        self.transformer_encoder = transformer_encoder(width, heads, depth, ffn, 0.0)

    def forward(self, x, target):
        y = self.transformer_encoder(x)
        return ((y - target) ** 2).mean(), y


class ResNetCase(nn.Module):
    """A narrow ResNet with the ImageNet stem under cross entropy."""

    def __init__(self, widths=(4, 8, 16, 32), blocks=2, stem="imagenet", classes=5):
        super().__init__()
        self.encoder = ResNet(widths, blocks, stem)
        self.fc = nn.Linear(self.encoder.out, classes)

    def forward(self, x, label):
        features = self.encoder(x)
        logits = self.fc(features)
        return F.cross_entropy(logits, label), logits, features
