#!/usr/bin/env python3
"""Operators against NumPy and PyTorch: check_operators.py JEPAC. Values (edge values among them) from compiled code and from the
interpreter, derivatives of the differentiable ones. Needs torch, run by hand; prints the largest error of each."""
import json, os, struct, subprocess, sys, tempfile

import numpy as np
import torch

KIND = {"float32": "F32", "float64": "F64", "int32": "I32", "int64": "I64", "uint32": "U32", "bool": "BOOL"}
BACK = {v: k for k, v in KIND.items()}


def write(path, tensors):
    head, data = {}, b""
    for name, t in tensors.items():
        raw = np.ascontiguousarray(t).tobytes()
        head[name] = {"dtype": KIND[str(t.dtype)], "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(head).encode()
    open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)


def read(path):
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    head = json.loads(raw[8 : 8 + n])
    return {
        k: np.frombuffer(raw[8 + n + t["data_offsets"][0] : 8 + n + t["data_offsets"][1]], BACK[t["dtype"]]).reshape(t["shape"])
        for k, t in head.items()
        if k != "__metadata__"
    }


def run(jepac, text, inputs, params, more):
    with tempfile.TemporaryDirectory() as d:
        open(d + "/m.jepa", "w").write(text)
        command = [jepac, "run", d + "/m.jepa", "-q", "--outputs", d + "/o.safetensors"] + more
        if inputs:
            write(d + "/i.safetensors", inputs)
            command += ["--inputs", d + "/i.safetensors"]
        if params:
            write(d + "/p.safetensors", params)
            command += ["--params", d + "/p.safetensors"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr + text)
        return read(d + "/o.safetensors")


def distance(got, want):
    """In units of the last place where both are finite; infinite where one is not and the other is."""
    if got.shape != want.shape:
        return np.inf
    if want.dtype.kind not in "f":
        return 0.0 if np.array_equal(got.astype(want.dtype), want) else np.inf
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    if np.any(~same & ~(np.isfinite(got) & np.isfinite(want))):
        return np.inf
    unit = np.spacing(np.clip(np.abs(want), 1e-30, 3e38).astype(np.float32))
    with np.errstate(invalid="ignore"):
        return float(np.max(np.where(same, 0, np.abs(got.astype(np.float64) - want) / unit), initial=0))


rng = np.random.default_rng(7)
plain = np.concatenate([rng.normal(0, 2, 200), [0.0, -0.0, np.inf, -np.inf, np.nan, 0.5, 1.5, 2.5, -0.5, -1.5, 1e-6, -1e-6, 1, -1, 89, -104, 3e38]])
unit = np.concatenate([rng.uniform(-1, 1, 200), [0.0, -0.0, 1, -1, np.nan, 2, 1e-6, 0.999999]])
above = np.concatenate([rng.uniform(1, 20, 200), [1, np.inf, 0.5, np.nan, 1e20]])
T = torch
UNARY = [  # name, values, reference, units in the last place allowed
    ("ceil", plain, T.ceil, 0), ("trunc", plain, T.trunc, 0), ("round", plain, T.round, 0), ("frac", plain, T.frac, 0),
    ("log1p", plain, T.log1p, 3), ("expm1", plain, T.expm1, 3), ("log2", plain, T.log2, 3), ("exp2", plain, T.exp2, 3),
    ("asin", unit, T.asin, 3), ("acos", unit, T.acos, 3), ("atan", plain, T.atan, 3), ("sinh", plain, T.sinh, 3),
    ("cosh", plain, T.cosh, 3), ("asinh", plain, T.asinh, 3), ("acosh", above, T.acosh, 3), ("atanh", unit, T.atanh, 3),
    ("erfinv", unit, T.erfinv, 8), ("tan", plain[:200], T.tan, 8),
    ("lgamma", np.concatenate([above, plain[:200], [0.0, -1, -2, np.inf, 1e-6, 1e20]]), T.lgamma, 4),
    ("digamma", np.concatenate([above, plain[:200], [0.0, -0.0, -1, -2, np.inf, 1e-6, 1e20]]), T.digamma, 2),
    ("trigamma", np.concatenate([above, plain[:200], [np.inf, 1e-6, 1e12]]), lambda x: T.polygamma(1, x), 2),
    ("tetragamma", np.concatenate([above[:200], [1e-3, 1e12]]), lambda x: T.polygamma(2, x), 2),
]
NAMED = "fn trigamma(x) = polygamma(1, x)\nfn tetragamma(x) = polygamma(2, x)\n"
x3 = rng.normal(0, 1, (3, 7, 5))
x3[0, 2, 1] = x3[0, 4, 1] = x3[0, 5, 1] = 0.25
x3[1, :, 2] = 1
zeros = x3.copy()
zeros[0, 3, 0] = 0
zeros[2, 1:3, 4] = 0
SHAPED = [  # expression of x[3,7,5], values, reference
    ("prod(x, 1)", zeros, lambda x: T.prod(x, 1)), ("prod(x)", x3, lambda x: T.prod(x)), ("cumsum(x, 1)", x3, lambda x: T.cumsum(x, 1)),
    ("cumprod(x, 0)", x3, lambda x: T.cumprod(x, 0)), ("cummax(x, 1)", zeros[:, ::-1].copy() + 0.001 * np.arange(105).reshape(3, 7, 5), lambda x: T.cummax(x, 1).values),
    ("cummin(x)", x3, lambda x: T.cummin(x, -1).values), ("sort(x, 1)", x3, lambda x: T.sort(x, dim=1, stable=True).values),
    ("sort(x, 2, descending = true)", x3, lambda x: T.sort(x, dim=2, descending=True, stable=True).values),
    ("sort(tile(x, [1, 9, 1]), 1)", x3, lambda x: T.sort(x.tile(1, 9, 1), dim=1, stable=True).values),
    ("topk(x, 3, axis = 1)[0]", rng.normal(0, 1, (3, 7, 5)), lambda x: T.topk(x, 3, 1).values),
    ("take_along(x, argsort(x, 1), 1)", x3, lambda x: T.gather(x, 1, T.argsort(x, dim=1, stable=True))),
]
ORDER = [("argsort(x, 1)", lambda x: T.argsort(x, dim=1, stable=True)), ("argmin(x, 1)", lambda x: T.argmin(x, 1)),
         ("argsort(tile(x, [1, 9, 1]), 1)", lambda x: T.argsort(x.tile(1, 9, 1), dim=1, stable=True)),
         ("argsort(reshape(x, [-1]), descending = true)", lambda x: T.argsort(x.flatten(), descending=True, stable=True)),
         ("argsort(x, 2, descending = true)", lambda x: T.argsort(x, dim=2, descending=True, stable=True)),
         ("topk(x, 2, axis = 2, largest = false)[1]", lambda x: T.argsort(x, dim=2, stable=True)[:, :, :2]),
         ("any(x < -1, 1)", lambda x: T.any(x < -1, 1)), ("all(x > -2, 2)", lambda x: T.all(x > -2, 2))]
i = rng.integers(-50, 50, 300)
j = np.concatenate([rng.integers(-9, 9, 298), [-1, 0]])
INTS = [("floor_div(i, j)", lambda a, b: a // b), ("mod(i, j)", lambda a, b: a % b), ("bit_and(i, j)", lambda a, b: a & b),
        ("bit_or(i, j)", lambda a, b: a | b), ("bit_xor(i, j)", lambda a, b: a ^ b), ("bit_not(i)", lambda a, b: ~a),
        ("prim.idiv(i, j)", lambda a, b: np.where(b == 0, 0, np.trunc(a / np.where(b == 0, 1, b))).astype(a.dtype)),
        ("prim.irem(i, j)", lambda a, b: np.where(b == 0, 0, np.fmod(a, np.where(b == 0, 1, b))).astype(a.dtype)),
        ("shift_left(i, mod(j, 40))", lambda a, b: a << (b % 40)), ("shift_right(i, mod(j, 40))", lambda a, b: a >> (b % 40))]


def positive(*shape):
    a = rng.normal(size=shape)
    return a @ np.swapaxes(a, -1, -2) + shape[-1] * np.eye(shape[-1])


def even(x, like):
    """Turns vectors (the last axis of x) so that their signs are those of jepac; like: vectors that turn with them."""
    size = x.abs()
    first = (size >= 0.6 * size.max(-1, keepdim=True).values).to(T.int8).argmax(-1, keepdim=True)
    sign = T.sign(T.gather(x, -1, first)).detach()
    return x * sign, like * sign


def eigh_of(a):
    w, v = T.linalg.eigh((a + a.mT) / 2)
    return T.cat([w[..., None, :], even(v.mT, v.mT)[0].mT], -2)


def svd_of(a):
    u, s, v = T.linalg.svd(a, full_matrices=False)
    v, u = even(v, u.mT)
    return T.cat([(u.mT * s[..., None, :]).flatten(), s.flatten(), v.flatten()])


def qr_of(a):
    q, r = T.linalg.qr(a)
    return T.cat([q.flatten(), r.flatten()])


MATRICES = [  # expression of a and b, values, reference; derivatives where it has one
    ("cholesky(a)", positive(2, 5, 5), (1,), lambda a, b: T.linalg.cholesky((a + a.mT) / 2)),
    ("triangular_solve(a, b)", positive(2, 5, 5), (2, 5, 3), lambda a, b: T.linalg.solve_triangular(a.tril(), b, upper=False)),
    ("triangular_solve(a, b, upper = true, transposed = true, unit = true)", positive(4, 4), (4, 2),
     lambda a, b: T.linalg.solve_triangular(a.triu().mT, b, upper=False, unitriangular=True)),
    ("solve(a, b)", rng.normal(size=(2, 6, 6)), (2, 6, 3), T.linalg.solve), ("solve(a, b)", rng.normal(size=(6, 6)), (6,), T.linalg.solve),
    ("inverse(a)", rng.normal(size=(2, 5, 5)), (1,), lambda a, b: T.linalg.inv(a)),
    ("lstsq(a, b)", rng.normal(size=(7, 3)), (7, 2), lambda a, b: T.linalg.lstsq(a, b).solution),
    ("lstsq(a, b)", rng.normal(size=(3, 7)), (3,), lambda a, b: T.linalg.pinv(a) @ b),
    ("logdet(a)", positive(3, 4, 4), (1,), lambda a, b: T.logdet(a)), ("det(a)", rng.normal(size=(3, 4, 4)), (1,), lambda a, b: T.linalg.det(a)),
    ("eigvalsh(a)", positive(2, 5, 5), (1,), lambda a, b: T.linalg.eigvalsh((a + a.mT) / 2)),
    ("eigh_of(a)", positive(2, 5, 5), (1,), lambda a, b: eigh_of(a)), ("qr_of(a)", rng.normal(size=(6, 4)), (1,), lambda a, b: qr_of(a)),
    ("qr_of(a)", rng.normal(size=(4, 6)), (1,), lambda a, b: qr_of(a)), ("svd_of(a)", rng.normal(size=(6, 4)), (1,), lambda a, b: svd_of(a)),
    ("svd_of(a)", rng.normal(size=(4, 6)), (1,), lambda a, b: svd_of(a)),
]
PACKED = """
fn eigh_of(a) {
  w, v = eigh(a)
  return concat(unsqueeze(w, -2), v, axis = rank(a) - 2)
}
fn flat(x) = reshape(x, [-1])
fn qr_of(a) {
  q, r = qr(a)
  return concat(flat(q), flat(r), axis = 0)
}
fn svd_of(a) {
  u, s, v = svd(a)
  return concat(flat(u * unsqueeze(s, 0)), s, flat(v), axis = 0)
}
"""


def check_matrices(jepac, report):
    for text_, a, bs, reference in MATRICES:
        b, k = rng.normal(size=bs), len(a.shape)
        for type_, dt, limit in (("f32", np.float32, 2e-4), ("f64", np.float64, 1e-10)):
            ta, tb = (T.tensor(x.astype(dt).astype(np.float64), requires_grad=True) for x in (a, b))
            want = reference(ta, tb)
            weights = T.tensor(rng.normal(size=want.shape).astype(np.float32).astype(np.float64))
            (want * weights).sum().backward()
            text = PACKED.split("fn flat")[0] * (text_ == "eigh_of(a)") + ("fn flat" + PACKED.split("fn flat")[1].split("fn svd_of")[0]) * (text_ == "qr_of(a)")
            if text_ == "svd_of(a)":
                text += "fn flat(x) = reshape(x, [-1])\nfn svd_of" + PACKED.split("fn svd_of")[1]
            text += "model M() { param a: %s%s = 0\n param b: %s%s = 0\n entry f(w: %s%s) { y = %s\n return loss = f32(sum(y * w) + 0 * sum(b)), y } }" % (
                type_, list(a.shape), type_, list(bs), type_, list(want.shape), text_)
            for mode in ([], ["--interp"]):
                out = run(jepac, text, {"w": weights.numpy().astype(dt)}, {"a": a.astype(dt), "b": b.astype(dt)}, ["--grad"] + mode)
                for name, got, true in (("", out["y"], want.detach()), (" derivative", out["grad.a"], ta.grad), (" derivative by b", out["grad.b"], tb.grad)):
                    if true is None:
                        continue
                    true = true.numpy()
                    error = np.max(np.abs(got.astype(np.float64) - true)) / max(np.max(np.abs(true)), 1e-300)
                    report(text_[:40] + " " + type_ + name + (" interpreted" if mode else ""), float(error), limit)


def check_scatter(jepac, report):
    """Against scatter, scatter_reduce and their like for slices; ties and zeros among the values."""
    names = {"set": None, "add": "sum", "mul": "prod", "min": "amin", "max": "amax"}
    for along in (True, False):
        for how, there in names.items():
            x = np.round(rng.normal(0, 1, (3, 7, 5)) * 2) / 2
            index = rng.integers(0, 7, (3, 4, 5)) if along else rng.integers(0, 7, 4)
            if how == "set":  # PyTorch leaves open which of equal indices counts
                index = np.argsort(rng.normal(size=(3, 7, 5)), 1)[:, :4] if along else rng.permutation(7)[:4]
            u = np.round(rng.normal(0, 1, (3, 4, 5)) * 2) / 2
            tx, tu = (T.tensor(v, requires_grad=True) for v in (x, u))
            ti = T.tensor(index)
            if how == "set":
                want = tx.scatter(1, ti, tu) if along else tx.index_copy(1, ti, tu)
            else:
                wide = ti if along else ti[None, :, None].expand(3, 4, 5)
                want = tx.scatter_reduce(1, wide, tu, there)
            w = T.tensor(rng.normal(size=want.shape).astype(np.float32).astype(np.float64))
            (want * w).sum().backward()
            call = 'scatter%s(x, i, u, 1, reduce = "%s")' % ("_along" * along, how)
            for type_, dt in (("f32", np.float32), ("f64", np.float64)):
                text = "model M() { param x: %s[3, 7, 5] = 0\n param u: %s[3, 4, 5] = 0\n entry f(w: %s[3, 7, 5], i: i64%s) { y = %s\n return loss = f32(sum(y * w)), y } }" % (
                    type_, type_, type_, list(index.shape), call)
                for mode in ([], ["--interp"]):
                    out = run(jepac, text, {"w": w.numpy().astype(dt), "i": index}, {"x": x.astype(dt), "u": u.astype(dt)}, ["--grad"] + mode)
                    for name, got, true in (("", out["y"], want.detach()), (" derivative", out["grad.x"], tx.grad), (" by u", out["grad.u"], tu.grad)):
                        report(call[:36] + name + " " + type_ + (" interpreted" if mode else ""), float(np.max(np.abs(got - true.numpy()))), 2e-6)
            for type_, dt in (("i32", np.int32), ("i64", np.int64), ("u32", np.uint32)):
                a, b = (np.round(np.abs(v) * 3).astype(dt) for v in (x, u))
                text = "model M() { entry f(x: %s[3, 7, 5], u: %s[3, 4, 5], i: i64%s) { return y = %s } }" % (type_, type_, list(index.shape), call)
                ta, tb = T.tensor(a.astype(np.int64)), T.tensor(b.astype(np.int64))
                want_ = (ta.scatter(1, ti, tb) if along else ta.index_copy(1, ti, tb)) if how == "set" else ta.scatter_reduce(1, wide, tb, there)
                for mode in ([], ["--interp"]):
                    got = run(jepac, text, {"x": a, "u": b, "i": index}, None, mode)["y"]
                    report(call[:36] + " " + type_, distance(got, want_.numpy().astype(dt)), 0)


def main():
    jepac, bad = os.path.abspath(sys.argv[1]), 0

    def report(what, error, limit):
        nonlocal bad
        bad += not error <= limit
        print("%-44s %8.3g %s" % (what, error, "" if error <= limit else "WRONG, at most %g" % limit))

    check_matrices(jepac, report)
    check_scatter(jepac, report)
    for name, values, reference, limit in UNARY:
        for dt, most in ((np.float32, limit), (np.float64, 1e-3 + 0 * limit)):
            x = values.astype(dt)
            type_ = "f32" if dt == np.float32 else "f64"
            want = reference(T.tensor(x.astype(np.float64))).numpy().astype(dt)
            text = NAMED + "model M() { entry f(x: %s[%d]) { return y = %s(x) } }" % (type_, len(x), name)
            for mode in ([], ["--interp"]):
                got = run(jepac, text, {"x": x}, None, mode)["y"].astype(dt)
                report("%s %s %s" % (name, type_, mode and "interpreted" or "compiled"), distance(got, want), max(most, 0.5 if mode else 0))
        x = values[np.isfinite(values)][:200].astype(np.float64)
        x = x[np.isfinite(reference(T.tensor(x)).numpy())]
        t = T.tensor(x, requires_grad=True)
        reference(t).sum().backward()
        if name not in ("ceil", "trunc", "round"):
            text = NAMED + "model M() { param x: f32[%d] = 0\n entry f() { return y = sum(%s(x)) } }" % (len(x), name)
            got = run(jepac, text, None, {"x": x.astype(np.float32)}, ["--grad"])["grad.x"]
            want = t.grad.numpy()
            report("%s derivative" % name, float(np.max(np.abs(got - want) / (1 + np.abs(want)))), 2e-5)
    a, b = rng.normal(size=(2, 100))
    a[:6], b[:6] = [0, -0.0, 0, 1, -1, 0], [1, -1, -1, 0, 0, 0]
    got = run(jepac, "model M() { entry f(a: f32[100], b: f32[100]) { return y = atan2(a, b) } }",
              {"a": a.astype(np.float32), "b": b.astype(np.float32)}, None, [])["y"]
    report("atan2", distance(got, np.arctan2(a.astype(np.float32), b.astype(np.float32))), 2)
    for text_, values, reference in SHAPED:
        t = T.tensor(values.astype(np.float32).astype(np.float64), requires_grad=True)
        want = reference(t)
        weights = T.tensor(rng.normal(size=want.shape))
        (want * weights).sum().backward()
        text = "model M() { param x: f32[3, 7, 5] = 0\n entry f(w: f32%s) { y = %s\n return loss = sum(y * w), y } }" % (list(want.shape), text_)
        for mode in ([], ["--interp"]):
            out = run(jepac, text, {"w": weights.numpy().astype(np.float32)}, {"x": values.astype(np.float32)}, ["--grad"] + mode)
            y = want.detach().numpy()
            report(text_ + (" interpreted" if mode else ""), float(np.max(np.abs(out["y"] - y)) / np.max(np.abs(y))), 1e-6)
            report(text_ + " derivative", float(np.max(np.abs(out["grad.x"] - t.grad.numpy()))), 1e-4)
    with_nan = x3.copy()
    with_nan[2, 3, 3] = with_nan[2, 0, 3] = np.nan
    for text_, reference in ORDER:
        values = with_nan if "argsort" in text_ else x3
        got = run(jepac, "model M() { entry f(x: f32[3, 7, 5]) { return y = %s } }" % text_, {"x": values.astype(np.float32)}, None, [])["y"]
        report(text_, distance(got, reference(T.tensor(values.astype(np.float32))).numpy()), 0)
    for dt, type_ in ((np.int32, "i32"), (np.int64, "i64")):
        big = i.astype(dt)
        big[:3] = [np.iinfo(dt).min, np.iinfo(dt).max, -1]
        for text_, reference in INTS:
            text = "model M() { entry f(i: %s[300], j: %s[300]) { return y = %s } }" % (type_, type_, text_)
            second = j.astype(dt)
            second[0] = -1
            if text_.startswith("prim.i"):
                big[:3] = [-7, 7, 6]
            with np.errstate(all="ignore"):
                want = reference(big, second)
            for mode in ([], ["--interp"]):
                got = run(jepac, text, {"i": big, "j": second}, None, mode)["y"]
                report("%s %s %s" % (text_, type_, mode and "interpreted" or ""), distance(got, want.astype(dt)), 0)
    print("%d wrong" % bad)
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
