"""The published forms of seq-JEPA and its baselines in plain PyTorch, for the parity tests.

Written from what the code of arXiv 2505.03176 (hafezgh/seq-jepa, 73e0550) computes, not from
the model files: modules have its names and its order of columns, RENAME says what each is
called in models/*.jepa (the same rules as `jepac ckpt convert --rename`, docs/models.md).
Where these differ from baselines.py, the model files have `published = true`.
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from reference import ResNet

NARROW = dict(widths=(4, 4, 4, 8), blocks=1, stem="small")

RENAME = {
    "transformer_encoder.transformer_encoder.": "transformer_encoder.",
    "projector_inv.": "invariant.",
    "projector_equi.": "equivariant.",
    "predictor.hypernet.net.0.": "predictor.",
    "enc.": "encoder.",
    "predictor._read_in.": "read_in.",
    "predictor._read_out.": "read_out.",
    "predictor.transformer.": "transformer.",
    "aug_predictor.": "auxiliary.",
}


def stack(widths, inner_bias, outer_bias, normed):
    """Hidden layers with batch norm and ReLU, and a last layer, perhaps with a batch norm that has no gain."""
    parts = []
    for i in range(len(widths) - 2):
        parts.append(nn.Linear(widths[i], widths[i + 1], bias=inner_bias))
        parts += [nn.BatchNorm1d(widths[i + 1]), nn.ReLU()]
    parts.append(nn.Linear(widths[-2], widths[-1], bias=outer_bias))
    if normed:
        parts.append(nn.BatchNorm1d(widths[-1], affine=False))
    return nn.Sequential(*parts)


def action_head(size, width):
    return nn.Sequential(nn.Linear(size, width, bias=False), nn.BatchNorm1d(width, affine=False))


def contrast(first, second, temperature):
    """Cross entropy against class 0 of the positive logit and then all the negative ones."""
    n = first.shape[0]
    f = F.normalize(torch.cat([first, second]), dim=1)
    similarity = f @ f.T
    same = torch.arange(n).repeat(2)
    same = same[:, None] == same[None]
    self_ = torch.eye(2 * n, dtype=torch.bool)
    positive = similarity[same & ~self_].view(2 * n, 1)
    negative = similarity[~same].view(2 * n, -1)
    logits = torch.cat([positive, negative], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(2 * n, dtype=torch.long))


def off_diagonal(matrix):
    return matrix[~torch.eye(matrix.shape[0], dtype=torch.bool)]


def shortfall(y):
    return F.relu(1 - torch.sqrt(y.var(0) + 1e-4)).mean()


def covariance(y):
    c = y - y.mean(0)
    return off_diagonal(c.T @ c / (y.shape[0] - 1)).pow(2).sum() / y.shape[1]


def vicreg_loss(a, b, weights=(10, 10, 1)):
    inv, var, cov = weights
    spread = shortfall(a) / 2 + shortfall(b) / 2
    return inv * F.mse_loss(a, b) + var * spread + cov * (covariance(a) + covariance(b))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = ResNet(**NARROW)
        self.width = self.encoder.out

    def follow(self, *names):
        """Averages of the modules of these names."""
        for name in names:
            average = copy.deepcopy(getattr(self, name))
            self.add_module("target_" + name, average.requires_grad_(False))


class SimCLR(Net):
    def __init__(self, hidden=8, temperature=0.5):
        super().__init__()
        self.temperature = temperature
        self.projector = stack([self.width, hidden, hidden, hidden], False, False, True)

    def forward(self, x1, x2):
        z1, z2 = self.encoder(x1), self.encoder(x2)
        return contrast(self.projector(z1), self.projector(z2), self.temperature), z1, z2


class SEN(Net):
    def __init__(self, size=3, proj=4, hidden=8, temperature=0.5):
        super().__init__()
        self.temperature = temperature
        self.action_proj = action_head(size, proj)
        self.projector_equi = stack([self.width, hidden, hidden, hidden], False, False, True)
        self.predictor = action_head(hidden + proj, hidden)

    def forward(self, x1, x2, action):
        z1, z2 = self.encoder(x1), self.encoder(x2)
        y1, y2 = self.projector_equi(z1), self.projector_equi(z2)
        guess = self.predictor(torch.cat((self.action_proj(action), y1), 1))
        return contrast(guess, y2, self.temperature), z1, z2


class EquiMod(Net):
    def __init__(self, size=3, proj=4, hidden=8, out=6, temperature=0.1):
        super().__init__()
        self.temperature = temperature
        self.action_proj = action_head(size, proj)
        self.projector_equi = stack([self.width, hidden, hidden, out], False, False, True)
        self.projector_inv = stack([self.width, hidden, hidden, out], False, False, True)
        self.predictor = action_head(out + proj, out)

    def forward(self, x1, x2, action):
        z1, z2 = self.encoder(x1), self.encoder(x2)
        i1, i2 = self.projector_inv(z1), self.projector_inv(z2)
        e1, e2 = self.projector_equi(z1), self.projector_equi(z2)
        guess = self.predictor(torch.cat((self.action_proj(action), e1), 1))
        moved = contrast(guess, e2, self.temperature)
        same = contrast(i1, i2, self.temperature)
        return moved + same, z1, z2, same, moved


class VICReg(Net):
    def __init__(self, hidden=8):
        super().__init__()
        self.projector = stack([self.width, hidden, hidden, hidden], True, False, False)

    def forward(self, x1, x2):
        z1, z2 = self.encoder(x1), self.encoder(x2)
        return vicreg_loss(self.projector(z1), self.projector(z2)), z1, z2


class VICRegTraj(VICReg):
    def __init__(self, alpha=0.5):
        super().__init__()
        self.alpha = alpha

    def forward(self, x):
        every = self.encoder(x.flatten(0, 1))
        y = self.projector(every).view(x.shape[0], 3, -1)
        left, centre, right = y.unbind(1)
        steps = [centre - left, right - centre]
        u1, u2 = [v - (v * centre).sum(1, keepdim=True) * centre for v in steps]
        bend = -F.cosine_similarity(u1, u2, dim=1).mean()
        z = every.view(x.shape[0], 3, -1)
        return vicreg_loss(left, centre) + self.alpha * bend, z, bend


class SIE(Net):
    def __init__(self, size=3, hidden=6, factor=0.45):
        super().__init__()
        self.factor = factor
        self.cut = self.width // 2
        self.projector_inv = stack([self.cut, hidden, hidden, hidden], True, False, False)
        self.projector_equi = stack([self.width - self.cut, hidden, hidden, hidden], True, False, False)
        net = nn.Sequential(nn.Linear(size, hidden * hidden, bias=False))
        self.predictor = nn.ModuleDict({"hypernet": nn.ModuleDict({"net": net})})

    def forward(self, x, y, action):
        ex, ey = self.encoder(x), self.encoder(y)
        ix, iy = self.projector_inv(ex[:, : self.cut]), self.projector_inv(ey[:, : self.cut])
        qx, qy = self.projector_equi(ex[:, self.cut :]), self.projector_equi(ey[:, self.cut :])
        maps = self.predictor["hypernet"]["net"](action).view(-1, qx.shape[1], qx.shape[1])
        guess = torch.bmm(qx[:, None], maps.transpose(1, 2)).squeeze(1)
        same, moved = F.mse_loss(ix, iy), F.mse_loss(guess, qy)
        px, py = torch.cat((ix, qx), 1), torch.cat((iy, qy), 1)
        hinge = shortfall(px) / 2 + shortfall(py) / 2 + shortfall(guess) / 2
        loss = 10 * same + self.factor * 10 * moved + 10 * hinge + covariance(px) + covariance(py)
        return loss, ex, ey, same, moved


class BYOL(Net):
    def __init__(self, hidden=8, out=6, action=0):
        super().__init__()
        self.projector = stack([self.width, hidden, out], False, False, True)
        self.predictor = stack([out + action, hidden, out], False, True, False)
        self.follow("encoder", "projector")

    def goal(self, x):
        return self.target_projector(self.target_encoder(x)).detach()

    def forward(self, x1, x2):
        z1, z2 = self.encoder(x1), self.encoder(x2)
        y1, y2 = self.projector(z1), self.projector(z2)
        p1, p2 = self.predictor(y1), self.predictor(y2)
        t1, t2 = self.goal(x1), self.goal(x2)
        ahead = 2 - 2 * F.cosine_similarity(p1, t2, dim=1).mean()
        back = 2 - 2 * F.cosine_similarity(p2, t1, dim=1).mean()
        return ahead + back, z1, z2


class CondBYOL(BYOL):
    def __init__(self, size=3, proj=4):
        super().__init__(action=proj)
        self.action_proj = action_head(size, proj)

    def forward(self, x1, x2, action):
        z1 = self.encoder(x1)
        y1 = self.projector(z1)
        guess = self.predictor(torch.cat((self.action_proj(action), y1), 1))
        return 2 - 2 * F.cosine_similarity(guess, self.goal(x2), dim=1).mean(), z1


class ConvIJEPA(Net):
    """Takes displacements between successive fixations, the last one leading to the target."""

    def __init__(self, size=2, proj=4, head=8, out=6, hidden=8):
        super().__init__()
        self.projector = stack([self.width, head, out], False, False, True)
        self.follow("encoder", "projector")
        self.action_proj = action_head(size, proj)
        self.predictor = stack([out + proj, hidden, out], False, True, False)

    def forward(self, views, last, actions):
        batch, count = views.shape[:2]
        place = torch.cat((torch.zeros_like(actions[:, :1]), actions.cumsum(1)), 1)
        z = self.encoder(views.flatten(0, 1))
        p = self.projector(z).view(batch, count, -1)
        goal = self.target_projector(self.target_encoder(last)).detach()
        loss = 0
        for i in range(count):
            way = self.action_proj(place[:, -1] - place[:, i])
            guess = self.predictor(torch.cat((way, p[:, i]), 1))
            loss = loss + 1 - F.cosine_similarity(guess, goal, dim=1).mean()
        z = z.view(batch, count, -1)
        return loss / count, z.mean(1), z


class Encoder(nn.Module):
    """The published transformer: PyTorch's encoder without a last norm, which is beside it."""

    def __init__(self, width, heads, depth, ffn):
        super().__init__()
        layer = nn.TransformerEncoderLayer(width, heads, ffn * width, 0.0, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        return self.norm(self.transformer_encoder(x))


class SeqJEPA(Net):
    """kind: "differences" (CIFAR-100, TinyImageNet), "saccades" or "poses" (3DIEBench); proj 0: no embedding."""

    def __init__(self, kind, size=3, proj=4, heads=2, depth=1, hidden=8):
        super().__init__()
        self.kind, self.proj = kind, proj
        self.extra = 0 if proj or size % heads == 0 else heads - size % heads
        told = proj or size + self.extra
        self.follow("encoder")
        if proj:
            self.action_proj = action_head(size, proj)
        self.agg_token = nn.Parameter(torch.zeros(1, 1, self.width + told))
        self.transformer_encoder = Encoder(self.width + told, heads, depth, 2)
        self.predictor = stack([self.width + 2 * told, hidden, self.width], False, True, False)

    def embed(self, actions):
        if not self.proj:
            return F.pad(actions, (0, self.extra))
        return self.action_proj(actions)

    def forward(self, views, last, actions):
        batch, count = views.shape[:2]
        rows = actions.clone()
        if self.kind != "poses":
            rows[:, -1] = 0  # differences of the observed views' parameters only
        if self.kind == "saccades":
            seen = self.embed(rows.flatten(0, 1))
            ahead = self.embed(actions[:, -1])
        else:
            ahead = self.embed(actions[:, -1])
            seen = self.embed(rows.flatten(0, 1))
        keep = torch.ones(count, 1, dtype=seen.dtype)
        keep[-1] = 0
        seen = seen.view(batch, count, -1) * keep
        z = self.encoder(views.flatten(0, 1)).view(batch, count, -1)
        tokens = torch.cat((self.agg_token.expand(batch, -1, -1), torch.cat((z, seen), 2)), 1)
        agg = self.transformer_encoder(tokens)[:, 0]
        guess = self.predictor(torch.cat((agg, ahead), 1))
        goal = self.target_encoder(last).detach()
        return 1 - F.cosine_similarity(guess, goal, dim=1).mean(), agg, z


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x):
        length = x.shape[1]
        allowed = torch.ones(length, length).tril().bool()
        for i in range(1, length, 2):
            allowed[i, i - 1] = False  # a second view does not see the first of its pair
        parts = [p.unflatten(2, (self.heads, -1)).transpose(1, 2) for p in self.c_attn(x).chunk(3, 2)]
        mixed = F.scaled_dot_product_attention(*parts, attn_mask=allowed)
        return self.c_proj(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = Attention(width, heads)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x))))


class GPT(nn.Module):
    def __init__(self, inputs, outputs, width, depth, heads):
        super().__init__()
        self._read_in = nn.Linear(inputs, width)
        self._read_out = nn.Linear(width, outputs)
        blocks = nn.ModuleList([Block(width, heads) for _ in range(depth)])
        self.transformer = nn.ModuleDict({"h": blocks, "ln_f": nn.LayerNorm(width)})

    def forward(self, x):
        x = self._read_in(x)
        for block in self.transformer["h"]:
            x = block(x)
        return self._read_out(self.transformer["ln_f"](x))


class ContextSSL(nn.Module):
    """ContextSSL (Gupta et al. 2024) as its own code (Sharut/In-Context-Symmetries) has it, both groups, nothing masked."""

    def __init__(self, size=3, turn=2, width=8, context=4, hidden=8, temperature=0.1, weight=5):
        super().__init__()
        self.turn, self.context, self.temperature, self.weight = turn, context, temperature, weight
        self.enc = ResNet(**NARROW)
        self.predictor = GPT(self.enc.out + size, self.enc.out, width, 2, 2)
        self.aug_predictor = nn.Sequential(
            nn.Linear(self.enc.out, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, size)
        )

    def forward(self, views, action, after):
        z = self.enc(views.flatten(0, 1))
        first, second = z[::2], z[1::2]
        tokens = torch.stack((torch.cat((first, action), 1), torch.cat((second, action * 0), 1)), 1).flatten(0, 1)
        found = self.predictor(tokens.view(-1, self.context, tokens.shape[1])).flatten(0, 1)
        unit = F.normalize(found, dim=1)
        scores = (unit @ unit.T).clamp(min=1e-7) / self.temperature
        scores = scores - 1e5 * torch.eye(len(scores), dtype=scores.dtype)
        partner = torch.arange(len(scores)) ^ 1
        pairs = F.cross_entropy(scores, partner)
        guess, goal = self.aug_predictor(unit), after.repeat_interleave(2, 0)
        turned = F.mse_loss(guess[:, : self.turn], goal[:, : self.turn])
        coloured = F.mse_loss(guess[:, self.turn :], goal[:, self.turn :])
        return pairs + self.weight * (turned + coloured), z, pairs


def renamed(tensors, model):
    """The model files' names."""
    rules = dict(RENAME)
    if model is SEN:
        rules["projector_equi."] = "projector."
    out = {}
    for name, tensor in tensors.items():
        head, name = ("grad.", name[5:]) if name.startswith("grad.") else ("", name)
        for old, new in rules.items():
            if name.startswith(old):
                name = new + name[len(old) :]
        out[head + name] = tensor
    return out


def cases(pair, sequence, three):
    """What make_fixtures.py writes; the arguments make inputs."""

    def case(seed, model, inputs, returns, **args):
        return dict(seed=seed, model=model, args=args, inputs=inputs, returns=returns.split(), rename=renamed)

    moved = "loss z1 z2 same moved"
    return {
        "published_simclr": case(49, SimCLR, pair, "loss z1 z2"),
        "published_sen": case(31, SEN, lambda: pair(3), "loss z1 z2"),
        "published_equimod": case(47, EquiMod, lambda: pair(3), moved),
        "published_vicreg": case(49, VICReg, pair, "loss z1 z2"),
        "published_vicreg_traj": case(23, VICRegTraj, three, "loss z bend"),
        "published_sie": case(16, SIE, lambda: pair(3), moved),
        "published_byol": case(17, BYOL, pair, "loss z1 z2"),
        "published_cond_byol": case(19, CondBYOL, lambda: pair(3), "loss z1"),
        "published_conv_ijepa": case(18, ConvIJEPA, lambda: sequence(3, 2), "loss agg z"),
        "published_seq_jepa": case(18, SeqJEPA, lambda: sequence(3, 3), "loss agg z", kind="differences"),
        "published_saccades": case(21, SeqJEPA, lambda: sequence(3, 2), "loss agg z", kind="saccades", size=2),
        "published_poses": case(24, SeqJEPA, lambda: sequence(2, 3), "loss agg z", kind="poses"),
        "contextssl": case(
            26,
            ContextSSL,
            lambda: dict(views=three()["views"][:, :2][:4], action=torch.randn(4, 3), after=torch.randn(4, 3)),
            "loss z pairs",
        ),
        "published_raw": case(24, SeqJEPA, lambda: sequence(3, 3), "loss agg z", kind="poses", proj=0),
    }
