"""Tables, gates and pictures of scripts/reproduce: reads the eval.json of finished runs, writes results.md."""

import json
import math
import pathlib
import platform

import reproduce_claims as claims

# Student's t, 97.5 %, by number of runs; for more by its expansion in 1 / (n - 1) (Abramowitz and Stegun 26.7.5).
T = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36}


def student(n):
    return T[n] if n in T else 1.96 + 2.372 / (n - 1) + 2.823 / (n - 1) ** 2 + 2.556 / (n - 1) ** 3


# The gates: data, method, what, figure, comparison, bound. A figure is a path into eval.json; `@n` takes a list's entry for n
# views; two paths may be joined by - or /. The mean over the seeds counts, or with "each" every run by itself.
GATES = [
    (1, "3d", "seq_m2", "encoder top-1", "encoder_top1", ">=", 0.80),
    (1, "3d", "seq_m2", "encoder top-1 above untrained", "encoder_top1 - untrained_top1", ">=", 0.40),
    (1, "3d", "seq_m2", "aggregate top-1, M_val=5", "aggregate_top1@5", ">=", 0.90),
    (1, "3d", "seq_m2", "aggregate top-1, M_val=5 above 1", "aggregate_top1@5 - aggregate_top1@1", ">=", 0.03),
    (1, "3d", "seq_m2", "relative R2 (MLP)", "relative_r2_mlp", ">=", 0.22),
    (1, "3d", "seq_m2", "relative R2 (MLP), untrained", "relative_r2_mlp_untrained", "<=", 0.06),
    (2, "fashion", "seq_m1", "retrieval MRR", "mrr", ">=", 0.40),
    (2, "fashion", "seq_m1", "retrieval H@1", "h_at_1", ">=", 0.22),
    (2, "fashion", "no_action", "MRR without actions, near chance (.221)", "mrr", "<=", 0.26),
    (2, "fashion", "seq_m1", "predictor loss, shuffled over true actions", "loss_shuffled / loss_true", ">=", 1.8),
    (3, "fashion", "seq_m3", "path integration R2, M=3", "path.r2@3", ">=", 0.70),
    (3, "fashion", "seq_m3", "the same, actions zeroed", "path.zero_actions@3", "<=", 0.15),
    (4, "saccades", "saccades", "position R2", "relative_r2", ">=", 0.50),
    (4, "saccades", "saccades", "encoder top-1 above untrained", "encoder_top1 - untrained_top1", ">=", 0.05),
    (5, "*", "*", "runs that failed", "failed", "each <=", 0),
    (5, "*", "*", "std x sqrt(d)", "std_sqrt_d", "each >=", 0.35),
    (5, "*", "*", "std x sqrt(d)", "std_sqrt_d", "each <=", 0.75),
    (5, "*", "*", "effective rank of 128", "effective_rank", "each >=", 7),
]

# Columns of the tables: head, figure, scale, digits; of all data, or of some.
COLUMNS = [
    ("encoder top-1", "encoder_top1", 100, 1),
    ("untrained", "untrained_top1", 100, 1),
    ("aggregate M=1", "aggregate_top1@1", 100, 1),
    ("M=5", "aggregate_top1@5", 100, 1),
    ("mean of 5 views", "mean_top1@5", 100, 1),
    ("relative R2", "relative_r2", 1, 3),
    ("untrained", "relative_r2_untrained", 1, 3),
    ("MLP R2", "relative_r2_mlp", 1, 3),
    ("MRR", "mrr", 1, 3),
    ("H@1", "h_at_1", 1, 3),
    ("H@5", "h_at_5", 1, 3),
    ("loss, shuffled / true", "loss_shuffled / loss_true", 1, 2),
    ("effective rank", "effective_rank", 1, 1),
    ("std x sqrt(d)", "std_sqrt_d", 1, 2),
]


# ---- figures ----
def figure(result, text):
    """A figure of one run, or None where it was not measured."""
    words = text.split()
    if len(words) == 3:
        a, b = figure(result, words[0]), figure(result, words[2])
        if a is None or b is None or (words[1] == "/" and b == 0):
            return None
        return a - b if words[1] == "-" else a / b
    path, _, views = text.partition("@")
    value = result
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if views and isinstance(value, list):
        of = (result.get("path") or {}).get("m") if path.startswith("path.") else result.get("m_val")
        at = (of or []).index(int(views)) if int(views) in (of or []) else -1
        value = value[at] if 0 <= at < len(value) else None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(value) else None


def mean_and_half(values):
    """The mean of runs and half the width of its 95 % confidence interval (None for one run)."""
    n = len(values)
    mean = sum(values) / n
    if n < 2:
        return mean, None
    deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1))
    return mean, student(n) * deviation / math.sqrt(n)


class Results:
    def __init__(self, cells):
        self.of, self.info, self.missing, self.other = {}, {}, 0, 0
        for c in cells:
            state = c.state()
            if not state:
                self.missing += 1
                continue
            result = {}
            self.other += state.get("plan", c.plan) != c.plan
            if not state["failed"]:
                result = c.figures()
            result["failed"] = 1 if state["failed"] else 0
            self.of.setdefault((c.data, c.method), []).append(result)
            self.info.setdefault((c.data, c.method), []).append(state)

    def values(self, data, method, text):
        found = [figure(r, text) for r in self.of.get((data, method), [])]
        return [v for v in found if v is not None]

    def cell(self, data, method, text, scale, digits):
        values = self.values(data, method, text)
        if not values:
            return ""
        mean, half = mean_and_half(values)
        text = f"{mean * scale:.{digits}f}"
        return text if half is None else f"{text} ± {half * scale:.{digits}f}"


# ---- gates ----
def judge(results, gate):
    """Its figure as text, and whether it is met; (None, None) when no run of it was asked for."""
    number, data, method, what, text, how, bound = gate
    each = how.startswith("each ")
    sign = how[-2:]
    keys = [k for k in results.of if data in ("*", k[0]) and method in ("*", k[1])]
    values = [v for k in keys for v in results.values(*k, text)]
    if not values:
        return "not measured", False
    if each:
        value = min(values) if sign == ">=" else max(values)
    else:
        value = mean_and_half(values)[0]
    return f"{value:.3f}", value >= bound if sign == ">=" else value <= bound


def gates(results, cells):
    asked = {(c.data, c.method) for c in cells}
    rows = []
    for g in GATES:
        if g[1] != "*" and (g[1], g[2]) not in asked:
            continue
        value, met = judge(results, g)
        rows.append((g, value, met))
    return rows


# ---- pictures ----
COLOURS = ["#1f6fb4", "#d95f02", "#1b9e77", "#7b3fa0", "#b8860b", "#c2185b", "#455a64", "#2e7d32"]


def escape(s):
    return s.replace("&", "&amp;").replace("<", "&lt;")


def svg(width, height, parts):
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
    return head + 'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"


def label(x, y, text, anchor="start", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{escape(text)}</text>'


def stroke(x1, y1, x2, y2, colour, more=""):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {more}/>'


def ticks(lo, hi):
    step = 10 ** math.floor(math.log10((hi - lo) / 2))
    step *= next((m for m in (1, 2, 5, 10) if (hi - lo) / (step * m) <= 6), 10)
    at = math.ceil(lo / step - 1e-9) * step
    while at <= hi + 1e-9:
        yield at
        at += step


def spread(values):
    lo, hi = min(values), max(values)
    pad = 0.08 * (hi - lo) or 0.1
    return lo - pad, hi + pad


def dots(title, rows):
    """rows: (name, [(mark, mean, half)]); marks are drawn in one row a method."""
    values = [v for _, marks in rows for _, m, h in marks for v in (m - (h or 0), m + (h or 0))]
    lo, hi = spread(values)
    names = list(dict.fromkeys(k for _, marks in rows for k, _, _ in marks))
    left, right, top, step = 150, 20, 60, 26
    width, height = 640, top + step * len(rows) + 40
    x = lambda v: left + (v - lo) / (hi - lo) * (width - left - right)
    out = [label(10, 18, title, more='font-weight="bold"')]
    for i, name in enumerate(names):
        out.append(f'<circle cx="{left + 120 * i}" cy="36" r="4" fill="{COLOURS[i]}"/>')
        out.append(label(left + 120 * i + 8, 40, name))
    for t in ticks(lo, hi):
        out.append(stroke(x(t), top - 8, x(t), height - 30, "#ddd"))
        out.append(label(x(t), height - 14, f"{t:g}", "middle"))
    for i, (name, marks) in enumerate(rows):
        y = top + step * i + 8
        out.append(label(left - 8, y + 4, name, "end"))
        for mark, m, h in marks:
            c = COLOURS[names.index(mark)]
            if h:
                out.append(stroke(x(m - h), y, x(m + h), y, c, 'stroke-width="2" stroke-opacity="0.5"'))
            out.append(f'<circle cx="{x(m):.1f}" cy="{y}" r="4" fill="{c}"/>')
    return svg(width, height, out)


def lines(title, axis, series):
    """series: (name, colour number, dashed, [(x, mean, half)])."""
    xs = sorted({p[0] for s in series for p in s[3]})
    lo, hi = spread([v for s in series for _, m, h in s[3] for v in (m - (h or 0), m + (h or 0))])
    left, right, top, bottom, width, height = 50, 260, 34, 40, 720, 320
    x = lambda v: left + (v - xs[0]) / ((xs[-1] - xs[0]) or 1) * (width - left - right)
    y = lambda v: height - bottom - (v - lo) / (hi - lo) * (height - top - bottom)
    out = [label(10, 18, title, more='font-weight="bold"'), label((left + width - right) / 2, height - 8, axis, "middle")]
    for t in ticks(lo, hi):
        out.append(stroke(left, y(t), width - right, y(t), "#ddd"))
        out.append(label(left - 6, y(t) + 4, f"{t:g}", "end"))
    for v in xs if len(xs) < 20 else ticks(xs[0], xs[-1]):
        out.append(label(x(v), height - bottom + 16, f"{v:g}", "middle"))
    for i, (name, colour, dashed, points) in enumerate(series):
        c, dash = COLOURS[colour % len(COLOURS)], 'stroke-dasharray="5 4"' if dashed else ""
        path = " ".join(f"{x(p):.1f},{y(m):.1f}" for p, m, _ in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{c}" stroke-width="2" {dash}/>')
        for p, m, h in points:
            if len(points) < 20:
                out.append(f'<circle cx="{x(p):.1f}" cy="{y(m):.1f}" r="3" fill="{c}"/>')
            if h:
                out.append(stroke(x(p), y(m - h), x(p), y(m + h), c, 'stroke-opacity="0.5"'))
        out.append(stroke(width - right + 10, top + 18 * i, width - right + 34, top + 18 * i, c, f'stroke-width="2" {dash}'))
        out.append(label(width - right + 40, top + 18 * i + 4, name))
    return svg(width, height, out)


def points(results, data, method, text, of):
    """(x, mean, half) of a list of the runs' results, against another."""
    runs = results.of.get((data, method), [])
    xs = next((v for v in (r.get("m_val") if of == "m_val" else (r.get("path") or {}).get("m") for r in runs) if v), [])
    out = []
    for v in xs:
        values = results.values(data, method, f"{text}@{v}")
        if values:
            out.append((v, *mean_and_half(values)))
    return out


def curves(results, data, titles, methods):
    """name: svg of what the recipe's own probes read while training went on, against the compute spent."""
    out = {}
    for name, caption in (("top1", "class, linear probe in training, top-1"), ("pose_r2", "own parameters of a view, MLP probe in training, R2")):
        series = []
        for i, m in enumerate(x for x in methods if (data, x) in results.of):
            runs = [s for s in results.info[data, m] if not s["failed"] and (s.get("curve") or {}).get(name)]
            n = min((len(s["curve"][name]) for s in runs), default=0)
            at = lambda k: runs[0]["curve"][name][k][0] / runs[0]["steps"] * runs[0]["flops"] * 1e-12
            if n > 1:
                series.append((methods[m]["title"], i, False, [(at(k), sum(s["curve"][name][k][1] for s in runs) / len(runs), None) for k in range(n)]))
        if series:
            out["curve-" + name.replace("_", "-")] = lines(f"{titles[data]['title']}: {caption}", "TFLOP", series)
    return out


def pictures(results, data, titles, methods):
    """name: (caption, svg) of a data set."""
    out, here = curves(results, data, titles, methods), [m for m in methods if (data, m) in results.of]
    marks = [("encoder", "encoder_top1"), ("untrained", "untrained_top1"), ("mean of 5", "mean_top1@5"),
             ("aggregate of 5", "aggregate_top1@5")]
    for name, caption, wanted in (
        ("top1", "linear top-1", marks),
        ("r2", "relative action R2", [("trained", "relative_r2"), ("untrained", "relative_r2_untrained")]),
    ):
        rows = []
        for m in here:
            found = [(k, *mean_and_half(v)) for k, v in ((k, results.values(data, m, t)) for k, t in wanted) if v]
            if found:
                rows.append((methods[m]["title"], found))
        if rows:
            out[name] = dots(f"{titles[data]['title']}: {caption}", rows)
    for name, of, axis, wanted in (
        ("views", "m_val", "views M_val", [("aggregate_top1", "aggregate", False), ("mean_top1", "plain mean", True)]),
        ("path", "m", "views M", [("path.r2", "", False), ("path.zero_actions", "actions zeroed", True)]),
    ):
        series = []
        for i, m in enumerate(here):
            for text, word, dashed in wanted:
                p = points(results, data, m, text, of)
                if len(p) > 1:
                    series.append((f"{methods[m]['title']} {word}".strip(), i, dashed, p))
        if series:
            caption = "top-1 against views" if name == "views" else "path integration R2"
            out[name] = lines(f"{titles[data]['title']}: {caption}", axis, series)
    return out


# ---- results.md ----
def processor():
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()


def table(results, data, methods):
    here = [m for m in methods if (data, m) in results.of]
    shown = [c for c in COLUMNS if any(results.values(data, m, c[1]) for m in here)]
    out = ["| | steps | " + " | ".join(c[0] for c in shown) + " |", "|-|-|" + "-|" * len(shown)]
    for m in here:
        info = results.info[data, m]
        figures = [results.cell(data, m, *c[1:]) for c in shown]
        failed = [i["failed"] for i in info if i["failed"]]
        name = methods[m]["title"] + (f" ({len(failed)} of {len(info)} {failed[0]})" if failed else "")
        out.append(f"| {name} | {info[0]['steps']} | " + " | ".join(figures) + " |")
    return out


def sizes(results, data, methods):
    """What the probes of each protocol were trained and tested on: figures of unequal sizes are not comparable."""
    met = {}  # protocol: {size: methods}
    for m in methods:
        for r in results.of.get((data, m), []):
            if r["failed"]:
                continue
            found = {name: s for name, s in (r.get("sizes") or {}).items() if "train" in s}
            if not found:
                met.setdefault("all", {}).setdefault("at most 20000 + 10000 images, 3000 + 1000 sequences of the same views (not recorded)", []).append(m)
            for name, s in found.items():
                text = f"{s['train']} + {s['test']} {s['of']}, {s['epochs']} epochs{', views drawn anew' if s.get('redraw') else ''}"
                met.setdefault(name, {}).setdefault(text, []).append(m)
    parts = []
    for name, of in met.items():
        each = [text if len(of) == 1 else f"{text} ({', '.join(methods[m]['title'] for m in dict.fromkeys(ms))})" for text, ms in of.items()]
        parts.append(("" if name == "all" else name + " ") + " and ".join(each) + ("" if len(of) == 1 else ", **not of one size**"))
    return [f"Probes, training + test: {'; '.join(parts)}."]


def search_cost(job, d, methods):
    found = job.searched_of(d)
    if not found:
        return "Learning rates and averages are those of the model files, searched for no method."
    hours = sum(v["seconds"] for v in found.values()) / 3600
    best = "; ".join(f"{methods[m]['title']} {' '.join(v['set']).replace('optimizer.lr.peak', 'rate')}" for m, v in found.items())
    return (
        f"Learning rates and averages are the best of {max(v['trials'] for v in found.values())} short runs of each method "
        f"({hours:.2f} core-hours in all; the sum of encoder top-1 and MLP R2 decides): {best}."
    )


def put_section(text, title, new, before=None):
    """The section of that title replaced; where there is none, put before another or at the end."""
    head = f"\n## {title}\n"
    at = text.find(head)
    if at < 0:
        at = end = text.index(f"\n## {before}\n") if before else len(text)
    else:
        end = text.find("\n## ", at + 1)
        end = len(text) if end < 0 else end
    return text[:at].rstrip("\n") + "\n\n" + new.strip("\n") + "\n" + text[end:]


def write_claims(cells, data, methods, job):
    """The claims and the data sets that have cells, into the results.md that is there; claims of others are by the summary."""
    path, results = job.docs / "results.md", Results(cells)
    text = path.read_text()
    text = put_section(text, "The paper's claims", "\n".join(claims.section(claims.Source(results, job.docs / "results"), data, methods)), "Gates")
    for d in data:
        if any(k[0] == d for k in results.of):
            text = put_section(text, data[d]["title"], "\n".join(data_section(results, cells, d, data, methods, job)))
    path.write_text(text)
    print(f"written: {path}")


def data_section(results, cells, d, data, methods, job):
    """Tables and pictures of a data set; the pictures are written."""
    mine = [c for c in cells if c.data == d]
    seconds = [i["seconds"] for k, v in results.info.items() if k[0] == d for i in v]
    precision = sorted({i.get("precision", "f32") for k, v in results.info.items() if k[0] == d for i in v})
    text = [f"## {data[d]['title']}", ""]
    text += [
        f"{len(seconds)} of {len(mine)} runs of {data[d]['flops'] * job.share * 1e-12:.3g} TFLOP, trained in {' and '.join(precision)}, "
        f"{sum(seconds) / 3600:.2f} core-hours with evaluation on one thread each of {processor()}."
        + (f" **The others are not finished**: `scripts/reproduce --only '{d}/*'` goes on with them." if len(seconds) < len(mine) else ""),
        "",
    ]
    text += [search_cost(job, d, methods), ""]
    text += table(results, d, methods) + [""] + sizes(results, d, methods) + [""]
    folder = job.docs / "results"
    for name, picture in pictures(results, d, data, methods).items():
        (folder / f"{d}-{name}.svg").write_text(picture)
        text.append(f"![{data[d]['title']}: {name}](results/{d}-{name}.svg)")
    zeroed = [(m, results.cell(d, m, "path.zero_views@3", 1, 3)) for m in methods]
    zeroed = [f"{methods[m]['title']} {v}" for m, v in zeroed if v]
    if zeroed:
        text += ["", "Path integration at M=3 with the encoder's outputs zeroed instead: " + ", ".join(zeroed) + "."]
    return text


def write(cells, data, methods, job):
    results = Results(cells)
    (job.docs / "results").mkdir(parents=True, exist_ok=True)
    rows = gates(results, cells)
    width = max(len(g[3]) for g, _, _ in rows)
    for g, value, met in rows:
        print(f"gate {g[0]}  {'pass' if met else 'FAIL'}  {g[1]:8} {g[2]:9} {g[3]:{width}} {value:>12} {g[5]} {g[6]:g}")
    if results.missing:
        print(f"{results.missing} of {len(cells)} runs are not finished")
    toy = " At toy size (--quick): the road is shown, not the results." if job.quick else ""
    text = ["# Results", "", "Written by `scripts/reproduce`; do not edit." + toy, ""]
    seconds = [i["seconds"] for v in results.info.values() for i in v]
    text += [
        f"Every run of a data set has the same number of FLOPs (as `jepac check` counts a step) on one thread of {processor()}: "
        + ", ".join(f"{d['title']} {d['flops'] * job.share * 1e-12:.3g} TFLOP" for d in data.values())
        + f". {len(seconds)} runs, {sum(seconds) / 3600:.2f} core-hours with evaluation. Figures are means over "
        f"{job.seeds} seed{'s' if job.seeds > 1 else ''}, ± half of the 95 % confidence interval (Student's t); top-1 in percent. Beside "
        "each: the same encoder untrained, and a plain mean of the embeddings of the same views.",
        *(["", f"{results.other} of {len(cells)} runs are of another build, whose compiled steps differ from this one's."] if results.other else []),
        "",
        f"Compute of a run differs from the aim by at most {100 * max(abs(c.flops * c.steps / c.aim - 1) for c in cells):.2f} %.",
        *(["", f"**{results.missing} of {len(cells)} runs are not finished**; figures are those of the others."] if results.missing else []),
        "",
        *claims.section(claims.Source(results, job.docs / "results"), data, methods),
        "## Gates",
        "",
        "| gate | data | method | figure | value | bound | |",
        "|-|-|-|-|-|-|-|",
    ]
    for g, value, met in rows:
        name = methods[g[2]]["title"] if g[2] in methods else "all"
        place = data[g[1]]["title"] if g[1] in data else "all"
        how = g[5].replace("each ", "every run ")
        text.append(f"| {g[0]} | {place} | {name} | {g[3]} | {value} | {how} {g[6]:g} | {'pass' if met else '**fail**'} |")
    for d in data:
        if any(k[0] == d for k in results.of):
            text += [""] + data_section(results, cells, d, data, methods, job)
    (job.docs / "results.md").write_text("\n".join(text) + "\n")
    print(f"written: {job.docs / 'results.md'}")
