"""The paper's central claims as rows of scripts/reproduce: each a difference of figures with its 95 % interval.

A row passes when the whole interval is above zero, fails when it is below, and is not decided when zero lies inside or
there is one run only. Figures are those of finished cells; of a method without cells those of docs/results/summary.json,
means and half intervals of runs whose cells were not kept.
"""

import json
import math

INVARIANT = ("simclr", "byol")
EQUIVARIANT = ("equimod", "sie")
SEQ = ("seq_m1", "seq_m2", "seq_m3")
R2, TOP1, AGG5, MEAN5 = "relative_r2_mlp", "encoder_top1", "aggregate_top1@5", "mean_top1@5"
SETS = ("3d", "fashion", "hard")

# Student's t, 97.5 %, by degrees of freedom.
T = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09, 2.09]


def student(freedom):
    return T[max(0, min(len(T), int(freedom)) - 1)]


class Figure:
    """The mean of n runs and its standard error, None for one run."""

    def __init__(self, mean, error, n):
        self.mean, self.error, self.n = mean, error, n

    def text(self, scale=1):
        return f"{self.mean * scale:.3f}" if self.error is None else f"{self.mean * scale:.3f} ± {student(self.n - 1) * self.error * scale:.3f}"


def of_values(values):
    n = len(values)
    mean = sum(values) / n
    if n < 2:
        return Figure(mean, None, n)
    return Figure(mean, math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n), n)


def difference(a, b):
    """Of two independent figures: mean and half interval (Welch); half None where one of them is of one run."""
    d = a.mean - b.mean
    if a.error is None or b.error is None:
        return d, None
    va, vb = a.error**2, b.error**2
    if va + vb == 0:
        return d, 0.0
    freedom = (va + vb) ** 2 / (va**2 / (a.n - 1) + vb**2 / (b.n - 1))
    return d, student(freedom) * math.sqrt(va + vb)


class Source:
    def __init__(self, results, folder):
        self.results = results
        path = folder / "summary.json"
        self.summary = json.loads(path.read_text()) if path.exists() else {"runs": 0, "figures": {}}
        self.summarised = False

    def get(self, data, method, text):
        values = self.results.values(data, method, text)
        if values:
            return of_values(values)
        found = self.summary["figures"].get(f"{data}/{method}", {}).get(text)
        if not found:
            return None
        self.summarised = True
        n = self.summary["runs"]
        return Figure(found[0], found[1] / student(n - 1), n)

    def best(self, data, methods, text, sign=1):
        """The method whose mean is largest, or with sign -1 smallest."""
        found = [(sign * f.mean, m, f) for m in methods for f in [self.get(data, m, text)] if f]
        return max(found, key=lambda x: x[0])[1:] if found else (None, None)


def verdict(d, half):
    if half is None:
        return "not decided (one run)"
    return "pass" if d - half > 0 else "**fail**" if d + half < 0 else "not decided"


def rows(source, methods):
    """(claim, data, what, value, against, difference, verdict)"""
    out = []

    def row(claim, data, what, a, b, against=None):
        if a is None or (b is None and against is None):
            out.append((claim, data, what, "", "", "", "not run"))
            return
        if b is None:
            d, half = a.mean - against, None if a.error is None else student(a.n - 1) * a.error
            text = f"{against:g}"
        else:
            d, half = difference(a, b)
            text = b.text()
        interval = f"{d:+.3f}" if half is None else f"{d:+.3f} ± {half:.3f}"
        out.append((claim, data, what, a.text(), text, interval, verdict(d, half)))

    title = lambda m: methods[m]["title"] if m else "none"
    for d in SETS:
        of = lambda names: [m for m in names if d in methods[m]["data"]]
        for m in of(SEQ):
            a = source.get(d, m, R2)
            name, b = source.best(d, INVARIANT, R2)
            if of(INVARIANT):
                row("a", d, f"R2 (MLP) of {title(m)} above the best invariant method ({title(name)})", a, b)
            name, b = source.best(d, of(EQUIVARIANT), R2, -1)
            row("a", d, f"R2 (MLP) of {title(m)} above the lowest equivariant method ({title(name)})", a, b)
        every = of(methods)
        for m in of(SEQ):
            a = source.get(d, m, AGG5)
            name, b = source.best(d, every, TOP1)
            row("b", d, f"aggregate of 5 views of {title(m)} above every encoder ({title(name)})", a, b)
            row("b", d, f"aggregate of 5 views of {title(m)} above the mean of the same views", a, source.get(d, m, MEAN5))
        if of(["no_action"]):
            row("c", d, "R2 (MLP) of M=3 with actions above without", source.get(d, "seq_m3", R2), source.get(d, "no_action", R2))
        row("d", d, "aggregate of 5 views, trained with M=3 above M=1", source.get(d, "seq_m3", AGG5), source.get(d, "seq_m1", AGG5))
        for m in ("seq_m1", "seq_m3"):
            a = source.get(d, m, "path.r2@3")
            row("e", d, f"path integration over 3 steps of {title(m)} above zeroed actions", a, source.get(d, m, "path.zero_actions@3"))
        row("e", d, "path integration over 3 steps of M=3, R2 above 0.7", source.get(d, "seq_m3", "path.r2@3"), None, 0.7)
    for m, word in (("no_saliency", "saliency and inhibition"), ("no_inhibition", "inhibition")):
        for figure, what in ((AGG5, "aggregate of 5 fixations"), (TOP1, "encoder top-1")):
            row("f", "saccades", f"{what} with {word} above without", source.get("saccades", "saccades", figure), source.get("saccades", m, figure))
    return out


def section(source, data, methods):
    found = rows(source, methods)
    count = lambda word: sum(1 for r in found if r[6].strip("*").startswith(word))
    text = [
        "## The paper's claims",
        "",
        f"{count('pass')} of {len(found)} rows pass, {count('fail')} fail, {count('not decided')} are not decided"
        + (f", {count('not run')} are not run" if count("not run") else "")
        + ". A row is a difference with its 95 % interval (Welch; shares of 1): it passes where all of the interval is above zero, fails where it "
        "is below. (a) R2 at least that of invariant methods and within that of equivariant ones, (b) the aggregate above every encoder and above "
        "the plain mean (encoders see whole pictures, the aggregate augmented views or patches, as in the paper's tables), (c) actions matter, (d) more views in training, (e) path integration, (f) saliency and inhibition. What was tried for rows that fail: four times the compute (docs/evaluation.md), and harder objects at four times the compute"
        + (", whose rows are here." if any(r[1] == "hard" and r[6] != "not run" for r in found) else ", which have not been run yet (`scripts/reproduce --only 'hard/*'`)."),
        "",
        "| | data | row | figure | against | difference | |",
        "|-|-|-|-|-|-|-|",
    ]
    text += [f"| {r[0]} | {data[r[1]]['title']} | {r[2]} | {r[3]} | {r[4]} | {r[5]} | {r[6]} |" for r in found]
    if source.summarised:
        text += ["", source.summary["note"]]
    return text + [""]
