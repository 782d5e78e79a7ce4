"""The baselines of seq-JEPA and its ablations in plain PyTorch, for the parity tests.

Each class is the formula of the paper its model file (models/*.jepa) names, written
for two views (VICRegTraj: three; Conv-IJEPA: several) that are encoded one after the
other, so that each has batch statistics of its own.  Parameter names are the field
paths of the model files.  CASES is what make_fixtures.py writes.
"""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from reference import ResNet, SeqJEPA, transformer_encoder

NARROW = dict(widths=(4, 4, 4, 8), blocks=1, stem="small")


def mlp(*widths):
    """Linear layers with batch norm and ReLU between them; only the last has a bias."""
    layers = []
    for a, b in zip(widths[:-2], widths[1:-1]):
        layers += [nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def action_embedding(action_dim, proj):
    return nn.Sequential(nn.Linear(action_dim, proj, bias=False), nn.BatchNorm1d(proj, affine=False))


def average_of(module):
    return copy.deepcopy(module).requires_grad_(False)


def nt_xent(a, b, tau):
    """Cross entropy of finding the other view among the 2n - 1 other rows, row by row."""
    n = a.shape[0]
    rows = torch.cat([F.normalize(a), F.normalize(b)])
    total = 0
    for i in range(2 * n):
        others = torch.tensor([j for j in range(2 * n) if j != i])
        scores = rows[others] @ rows[i] / tau
        partner = (others == (i + n) % (2 * n)).nonzero()[0, 0]
        total = total - (scores[partner] - torch.logsumexp(scores, 0))
    return total / (2 * n)


def regression(prediction, target):
    """Squared distance of the unit vectors."""
    distance = F.normalize(prediction) - F.normalize(target.detach())
    return (distance**2).sum(1).mean()


def spread(z, variance, covariance):
    """VICReg's variance hinge and covariance penalty of one view, the former halved."""
    centred = z - z.mean(0)
    matrix = centred.T @ centred / (z.shape[0] - 1)
    deviation = torch.sqrt(matrix.diagonal() + 1e-4)
    hinge = torch.clamp(1 - deviation, min=0).mean()
    penalty = (matrix.pow(2).sum() - matrix.diagonal().pow(2).sum()) / z.shape[1]
    return variance * hinge / 2 + covariance * penalty


class Baseline(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = ResNet(**NARROW)

    def views(self, first, second):
        return self.encoder(first), self.encoder(second)


class SimCLR(Baseline):
    def __init__(self, hidden=8, tau=0.5):
        super().__init__()
        self.tau = tau
        self.projector = mlp(self.encoder.out, hidden, hidden, hidden)

    def forward(self, first, second):
        z1, z2 = self.views(first, second)
        return nt_xent(self.projector(z1), self.projector(z2), self.tau), z1, z2


class WMSE(Baseline):
    """Whitened by the inverse of the Cholesky factor of each part's covariance."""

    def __init__(self, hidden=8, width=2, part=3, shrink=0.25):
        super().__init__()
        self.part, self.shrink = part, shrink
        self.projector = mlp(self.encoder.out, hidden, width)

    def whiten(self, z):
        parts = []
        for x in z.split(self.part):
            cov = torch.cov(x.T)
            cov = (1 - self.shrink) * cov + self.shrink * torch.eye(len(cov), dtype=x.dtype)
            parts.append((x - x.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(cov)).T)
        return torch.cat(parts)

    def forward(self, first, second):
        z1, z2 = self.views(first, second)
        p, q = self.whiten(self.projector(z1)), self.whiten(self.projector(z2))
        return ((F.normalize(p) - F.normalize(q)) ** 2).sum(1).mean(), z1, z2


class VICReg(Baseline):
    def __init__(self, hidden=8, invariance=10, variance=10, covariance=1):
        super().__init__()
        self.weights = invariance, variance, covariance
        self.projector = mlp(self.encoder.out, hidden, hidden, hidden)

    def compare(self, a, b):
        invariance, variance, covariance = self.weights
        return (
            invariance * F.mse_loss(a, b)
            + spread(a, variance, covariance)
            + spread(b, variance, covariance)
        )

    def forward(self, first, second):
        z1, z2 = self.views(first, second)
        return self.compare(self.projector(z1), self.projector(z2)), z1, z2


class VICRegTraj(VICReg):
    def __init__(self, weight=0.5, **settings):
        super().__init__(**settings)
        self.weight = weight

    def forward(self, views):
        every = self.encoder(views.flatten(0, 1))
        z = every.unflatten(0, views.shape[:2])
        p = self.projector(every).unflatten(0, views.shape[:2])
        before, after = z[:, 1] - z[:, 0], z[:, 2] - z[:, 1]
        bend = -F.cosine_similarity(before, after, dim=1).mean()
        return self.compare(p[:, 0], p[:, 1]) + self.weight * bend, z, bend


class SEN(Baseline):
    def __init__(self, action_dim=3, proj=4, hidden=8, tau=0.5):
        super().__init__()
        self.tau = tau
        self.projector = mlp(self.encoder.out, hidden, hidden, hidden)
        self.action_proj = action_embedding(action_dim, proj)
        self.predictor = nn.Sequential(nn.Linear(hidden + proj, hidden), nn.BatchNorm1d(hidden))

    def forward(self, first, second, action):
        z1, z2 = self.views(first, second)
        led = self.predictor(torch.cat([self.projector(z1), self.action_proj(action)], 1))
        return nt_xent(led, self.projector(z2), self.tau), z1, z2


class EquiMod(Baseline):
    def __init__(self, action_dim=3, proj=4, hidden=8, out=6, tau=0.1):
        super().__init__()
        self.tau = tau
        self.invariant = mlp(self.encoder.out, hidden, hidden, out)
        self.equivariant = mlp(self.encoder.out, hidden, hidden, out)
        self.action_proj = action_embedding(action_dim, proj)
        self.predictor = nn.Linear(out + proj, out)

    def forward(self, first, second, action):
        z1, z2 = self.views(first, second)
        same = nt_xent(self.invariant(z1), self.invariant(z2), self.tau)
        led = self.predictor(torch.cat([self.equivariant(z1), self.action_proj(action)], 1))
        moved = nt_xent(led, self.equivariant(z2), self.tau)
        return same + moved, z1, z2, same, moved


class SIE(Baseline):
    def __init__(self, action_dim=3, hidden=6, weights=(10, 4.5, 10, 1)):
        super().__init__()
        self.weights = weights
        self.half = self.encoder.out // 2
        self.invariant = mlp(self.half, hidden, hidden, hidden)
        self.equivariant = mlp(self.half, hidden, hidden, hidden)
        self.predictor = nn.Linear(action_dim, hidden * hidden)

    def forward(self, first, second, action):
        invariance, equivariance, variance, covariance = self.weights
        z1, z2 = self.views(first, second)
        i1, i2 = self.invariant(z1[:, : self.half]), self.invariant(z2[:, : self.half])
        e1, e2 = self.equivariant(z1[:, self.half :]), self.equivariant(z2[:, self.half :])
        width = e1.shape[1]
        matrices = self.predictor(action).unflatten(1, (width, width))  # one for each sample
        led = torch.bmm(matrices, e1[:, :, None])[:, :, 0]
        same, moved = F.mse_loss(i1, i2), F.mse_loss(led, e2)
        loss = invariance * same + equivariance * moved
        for z in (i1, e1), (i2, e2):
            loss = loss + spread(torch.cat(z, 1), variance, covariance)
        return loss + spread(led, variance, 0), z1, z2, same, moved


class BYOL(Baseline):
    def __init__(self, hidden=8, inner=6, action_width=0):
        super().__init__()
        self.projector = mlp(self.encoder.out, hidden, hidden, hidden)
        self.predictor = mlp(hidden + action_width, inner, hidden)
        self.target_encoder = average_of(self.encoder)
        self.target_projector = average_of(self.projector)

    def goal(self, image):
        with torch.no_grad():
            return self.target_projector(self.target_encoder(image))

    def forward(self, first, second):
        z1, z2 = self.views(first, second)
        t1, t2 = self.goal(first), self.goal(second)
        loss = regression(self.predictor(self.projector(z1)), t2)
        return loss + regression(self.predictor(self.projector(z2)), t1), z1, z2

    @torch.no_grad()
    def ema_update(self, decay):
        for name in ("encoder", "projector"):
            targets = getattr(self, "target_" + name).parameters()
            for target, source in zip(targets, getattr(self, name).parameters()):
                target.mul_(decay).add_(source, alpha=1 - decay)


class CondBYOL(BYOL):
    def __init__(self, action_dim=3, proj=4, **settings):
        super().__init__(action_width=proj, **settings)
        self.action_proj = action_embedding(action_dim, proj)

    def forward(self, first, second, action):
        z1 = self.encoder(first)
        goal = self.goal(second)
        led = self.predictor(torch.cat([self.projector(z1), self.action_proj(action)], 1))
        return regression(led, goal), z1


class ConvIJEPA(Baseline):
    def __init__(self, action_dim=2, proj=4, hidden=8):
        super().__init__()
        self.target_encoder = average_of(self.encoder)
        self.action_proj = action_embedding(action_dim, proj)
        self.predictor = nn.Sequential(
            nn.Linear(self.encoder.out + proj, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, self.encoder.out),
        )

    def forward(self, views, next_view, actions):
        z = self.encoder(views.flatten(0, 1)).unflatten(0, views.shape[:2])
        with torch.no_grad():
            goal = self.target_encoder(next_view)
        # the sum of the actions from each view on
        far = actions.flip(1).cumsum(1).flip(1)
        a = self.action_proj(far.flatten(0, 1)).unflatten(0, views.shape[:2])
        pred = self.predictor(torch.cat([z, a], 2).flatten(0, 1)).unflatten(0, views.shape[:2])
        loss = 0
        for i in range(views.shape[1]):
            loss = loss + (1 - F.cosine_similarity(pred[:, i], goal, dim=1)).mean()
        return loss, z.mean(1), z


class PartlyConditioned(SeqJEPA):
    """seq-JEPA whose transformer, predictor or both see no action."""

    def __init__(self, observed, upcoming, action_dim=3, proj=4, hidden=8):
        narrow = dict(NARROW, action_dim=action_dim, proj=proj, hidden=hidden)
        super().__init__(**narrow, heads=2, depth=1, ffn=2, dropout=0.0)
        self.observed, self.upcoming = observed, upcoming
        if not observed and not upcoming:
            del self.action_proj
        width = self.encoder.out + proj * observed
        self.agg_token = nn.Parameter(torch.zeros(1, 1, width))
        self.transformer_encoder = transformer_encoder(width, 2, 1, 2, 0.0)
        self.predictor[0] = nn.Linear(width + proj * upcoming, hidden, bias=False)

    def forward(self, views, next_view, actions):
        batch, count = views.shape[:2]
        told = [self.action_proj(actions[:, -1])] if self.upcoming else []
        z = self.encoder(views.flatten(0, 1)).unflatten(0, (batch, count))
        tokens = z
        if self.observed:
            a = self.action_proj(actions.flatten(0, 1)).unflatten(0, (batch, count))
            a = torch.cat([a[:, :-1], torch.zeros_like(a[:, -1:])], 1)
            tokens = torch.cat([z, a], 2)
        token = self.agg_token.expand(batch, -1, -1)
        agg = self.transformer_encoder(torch.cat([token, tokens], 1))[:, 0]
        pred = self.predictor(torch.cat([agg, *told], 1))
        with torch.no_grad():
            target = self.target_encoder(next_view)
        return (1 - F.cosine_similarity(pred, target, dim=1)).mean(), agg, z


# --- cases -------------------------------------------------------------------

BATCH, SIZE = 6, 10


def images(*lead):
    """Noise with a tint for each image, so that pooled features differ."""
    return 0.5 * torch.randn(*lead, 3, SIZE, SIZE) + torch.randn(*lead, 3, 1, 1)


def pair(action_dim=0):
    inputs = {"first": images(BATCH), "second": images(BATCH)}
    if action_dim:
        inputs["action"] = torch.randn(BATCH, action_dim)
    return inputs


def sequence(count, action_dim):
    return {
        "views": images(4, count),
        "next": images(4),
        "actions": torch.randn(4, count, action_dim),
    }


def case(seed, model, inputs, returns, **args):
    return dict(seed=seed, model=model, args=args, inputs=inputs, returns=returns.split())


CASES = {
    "simclr": case(49, SimCLR, pair, "loss z1 z2"),
    "wmse": case(49, WMSE, pair, "loss z1 z2"),
    "vicreg": case(49, VICReg, pair, "loss z1 z2"),
    "vicreg_traj": case(23, VICRegTraj, lambda: {"views": images(BATCH, 3)}, "loss z bend"),
    "sen": case(31, SEN, lambda: pair(3), "loss z1 z2"),
    "equimod": case(47, EquiMod, lambda: pair(3), "loss z1 z2 same moved"),
    "sie": case(16, SIE, lambda: pair(3), "loss z1 z2 same moved"),
    "byol": case(17, BYOL, pair, "loss z1 z2"),
    "cond_byol": case(19, CondBYOL, lambda: pair(3), "loss z1"),
    "conv_ijepa": case(18, ConvIJEPA, lambda: sequence(3, 2), "loss agg z"),
    "seq_jepa_transformer": case(
        18, PartlyConditioned, lambda: sequence(2, 3), "loss agg z", observed=True, upcoming=False
    ),
    "seq_jepa_predictor": case(
        21, PartlyConditioned, lambda: sequence(4, 3), "loss agg z", observed=False, upcoming=True
    ),
    "seq_jepa_neither": case(
        24, PartlyConditioned, lambda: sequence(1, 3), "loss agg z", observed=False, upcoming=False
    ),
}


# --- the optimizers of byol.jepa: LARS and a group with SGD, each clipped ----

LARS = dict(lr=0.2, momentum=0.9, weight_decay=1e-3, trust=0.02)
SGD = dict(lr=0.05, momentum=0.9)
CLIP, GROUP_CLIP = 1.5, 0.5


@torch.no_grad()
def clip(gradients, limit):
    norm = torch.sqrt(sum((g**2).sum() for g in gradients))
    return [g * min(1.0, limit / (norm.item() + 1e-6)) for g in gradients]


@torch.no_grad()
def update(named, momenta):
    """One step of both optimizers on {name: parameter}; momenta holds {name: buffer}."""
    group = {n: p for n, p in named.items() if n.startswith("predictor.")}
    main = {n: p for n, p in named.items() if n not in group}
    for names, limit in ((main, CLIP), (group, GROUP_CLIP)):
        gradients = clip([p.grad for p in names.values()], limit)
        for (name, p), g in zip(names.items(), gradients):
            scale = 1.0
            if names is main and p.dim() > 1:
                g = g + LARS["weight_decay"] * p
                scale = LARS["trust"] * p.norm() / (g.norm() + 1e-8)
            recipe = LARS if names is main else SGD
            m = momenta.get(name, torch.zeros_like(p)) * recipe["momentum"] + scale * g
            momenta[name] = m
            p -= recipe["lr"] * m


def train(model, inputs, steps, decay):
    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    momenta, losses = {}, []
    for _ in range(steps):
        model.zero_grad(set_to_none=True)
        loss = model(*inputs.values())[0]
        loss.backward()
        losses.append(loss.item())
        update(named, momenta)
        model.ema_update(decay)
    return losses
