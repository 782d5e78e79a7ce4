"""The Python door: arrays in and out, memory shared, errors as exceptions, a training step, torch's module where torch is.
Run by tests/cli/python; or: JEPAC_LIBRARY=build/libjepac.so python3 -m unittest discover -s python/tests"""
import copy
import gc
import os
import pickle
import tempfile
import threading
import unittest
import weakref

import numpy as np

import jepac

FIT = """
dim B = 8
model Fit(width = 16) {
  net = Sequential(Linear(2, width), Tanh(), Linear(width, 1))
  entry forward(x: f32[B, 2], y: f32[B, 1]) {
    fit = net(x)
    loss = mse(fit, y)
    return loss, fit
  }
}
train Fit {
  data = synthetic(features = 2, length = 64)
  bind x = data.x, y = data.x[:, :1]
  minimize forward.loss
  optimizer = adamw(lr = 1e-2)
  batch = 8, epochs = 1
}
"""
TYPES = """
model M {
  entry f(x: f32[4, 3], n: i64[4], t: i32[2], on: bool[4]) {
    return twice = x * 2, row = x[1], next = n + 1, t = t, off = not on
  }
}
"""


def aligned(shape, dtype="f4"):
    n = int(np.prod(shape)) * np.dtype(dtype).itemsize
    room = np.zeros(n + 64, "u1")
    at = -room.ctypes.data % 64
    return room[at : at + n].view(dtype).reshape(shape)


def batch():
    x = np.linspace(-1, 1, 16, dtype="f4").reshape(8, 2)
    return x, (x[:, :1] * x[:, 1:]).copy()


class Values(unittest.TestCase):
    def setUp(self):
        self.model = jepac.loads(TYPES, threads=1)

    def test_arrays_in_and_out(self):
        f = self.model.compile()
        self.assertEqual(f.inputs, ["x", "n", "t", "on"])
        x = np.arange(12, dtype="f4").reshape(4, 3)
        out = f(x, n=[1, 2, 3, 2**40], t=np.array([5, 6], "i4"), on=[True, False, True, False])
        np.testing.assert_array_equal(out["twice"], 2 * x)
        np.testing.assert_array_equal(out["row"], x[1])
        np.testing.assert_array_equal(out["next"], [2, 3, 4, 2**40 + 1])
        np.testing.assert_array_equal(out["off"], [False, True, False, True])
        self.assertEqual((out["next"].dtype, out["t"].dtype, out["off"].dtype), ("int64", "int32", "bool"))
        others = {"n": [1, 2, 3, 2**40], "t": [5, 6], "on": [True] * 4}
        again = f(x=x + 1, **others)  # the first results stay as they were
        np.testing.assert_array_equal(again["twice"], 2 * x + 2)
        np.testing.assert_array_equal(again["next"], [2, 3, 4, 2**40 + 1])
        np.testing.assert_array_equal(out["twice"], 2 * x)
        view = f(x=x + 1, **others, copy=False)["twice"]
        f(x=x, **others)
        np.testing.assert_array_equal(view, 2 * x)

    def test_element_types(self):
        """Arithmetic in the type itself, as NumPy's."""
        for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"):
            short = name[0] + name.lstrip("uintfloa")
            f = jepac.loads(f"model M {{ entry f(x: {short}[5], y: {short}[5]) {{ return s = x + y, p = x * y, less = x < y, most = max(x) }} }}",
                            threads=1).compile()
            whole = np.dtype(name).kind in "iu"
            most = np.iinfo(name).max if whole else 300
            x, y = np.array([most, 1, most, 3, 7], name), np.array([most, 1, 2, most, 0], name)
            out = f(x, y)
            with np.errstate(over="ignore"):
                for key, want in (("s", x + y), ("p", x * y), ("less", x < y), ("most", x.max())):
                    self.assertEqual(out[key].dtype, want.dtype)
                    np.testing.assert_array_equal(out[key], want, err_msg=f"{key} of {name}")

    def test_memory_is_read_where_it_lies(self):
        f = self.model.compile()
        others = {name: f[name] for name in ("n", "t", "on")}
        x = aligned((4, 3))
        f["x"][...] = 3
        x[...] = 1
        np.testing.assert_array_equal(f(x=x, **others)["twice"], np.full((4, 3), 2, "f4"))
        np.testing.assert_array_equal(f["x"], np.full((4, 3), 3, "f4"))  # not copied
        f(x=np.ones((3, 4), "f4").T, **others)  # not contiguous: copied, and x is let go
        np.testing.assert_array_equal(f["x"], np.ones((4, 3), "f4"))
        f["x"][...] = 3
        np.testing.assert_array_equal(f(x=f["x"], **others)["twice"], np.full((4, 3), 6, "f4"))

    def test_arrays_outlive_their_session(self):
        f = self.model.compile()
        twice = f(np.ones((4, 3), "f4"), f["n"], f["t"], f["on"], copy=False)["twice"]
        del f
        self.model = None
        gc.collect()
        np.testing.assert_array_equal(twice, np.full((4, 3), 2, "f4"))

    def test_memory_is_given_back(self):
        freed = weakref.ref(self.model.compile()._handle)
        gc.collect()
        self.assertIsNone(freed())

    def test_wrong_inputs(self):
        f = self.model.compile()
        f["n"][...] = 1
        for error, words, args, inputs in (
            (TypeError, "not given: t, on", (np.ones((4, 3)), f["n"]), {}),
            (TypeError, "there is no input z: it has x, n, t, on", (), {"z": 1}),
            (TypeError, "given twice", (np.ones((4, 3)),), {"x": 1}),
            (TypeError, "5 inputs are given", (1, 1, 1, 1, 1), {}),
            (ValueError, r"n has the shape \(3,\), but the session is compiled for \(4,\)", (), {"n": [1, 2, 3]}),
            (TypeError, "n needs elements of type int64, not float64", (), {"n": np.ones(4)}),
            (TypeError, "x is no array of numbers", (), {"x": np.array([None, "a"])}),
        ):
            with self.assertRaisesRegex(error, words):
                f(*args, **inputs)
        with self.assertRaises(KeyError):
            f["none"]


class Training(unittest.TestCase):
    def test_trains_saves_and_loads(self):
        model = jepac.loads(FIT, {"width": 24}, threads=1)
        self.assertEqual(model.entries, ["forward"])
        step = model.compile("train_step")
        step.init(seed=1)
        x, y = batch()
        losses = []
        for i in range(60):
            step.set_number("step", i)
            losses.append(float(step(x=x, y=y)["loss"]))
        self.assertLess(losses[-1], losses[0] / 4)
        forward = model.compile("forward", grad=True)
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "weights.safetensors")
            step.save(path)
            forward.load(path)
        out = forward(x=x, y=y)
        self.assertLess(float(out["loss"]), losses[-1] * 1.5)
        self.assertEqual(out["grad.net.0.weight"].shape, (24, 2))
        states = forward.state_dict()
        self.assertEqual(sorted(states), ["net.0.bias", "net.0.weight", "net.2.bias", "net.2.weight"])
        other = model.compile("forward")
        other.load_state_dict(states)
        np.testing.assert_array_equal(other(x=x, y=y)["fit"], out["fit"])
        self.assertEqual(other.copy_states(step), 4)
        states["net.0.bias"] = states["net.0.bias"][:3]
        before = other.state_dict()
        with self.assertRaisesRegex(ValueError, "net.0.bias has the shape"):
            other.load_state_dict(states)
        del states["net.0.bias"]
        with self.assertRaisesRegex(KeyError, "missing: .'net.0.bias'."):
            other.load_state_dict(states)
        for name, value in before.items():
            np.testing.assert_array_equal(other[name], value)

    def test_bits_of_the_same_seed(self):
        results = []
        for threads in (1, 2):
            f = jepac.loads(FIT, threads=threads).compile()
            f.init(3)
            results.append(f(*batch())["fit"])
        np.testing.assert_array_equal(*results)

    def test_begins_with_values(self):
        model = jepac.loads(FIT, threads=1)
        fresh, seeded = model.compile(), model.compile()
        self.assertTrue(fresh["net.0.weight"].any())
        seeded.init(0)
        np.testing.assert_array_equal(fresh(*batch())["fit"], seeded(*batch())["fit"])

    def test_no_copies(self):
        model = jepac.loads(FIT, threads=1)
        session = model.compile()
        for x in (model, session):
            for make in (copy.copy, copy.deepcopy, pickle.dumps):
                with self.assertRaisesRegex(TypeError, "cannot be copied"):
                    make(x)
        gc.collect()
        session(*batch())

    def test_not_finite(self):
        step = jepac.loads(FIT, threads=1).compile("train_step")
        step.init(1)
        before = step.state_dict()
        x, y = batch()
        x[0, 0] = np.nan
        with self.assertRaisesRegex(jepac.Error, "is not finite") as e:
            step(x=x, y=y)
        self.assertEqual(e.exception.status, "nonfinite")
        for name, value in before.items():
            np.testing.assert_array_equal(step[name], value)

    def test_threads_of_the_host(self):
        model = jepac.loads(FIT, threads=1)
        sessions = [model.compile() for _ in range(4)]
        x, y = batch()
        out = [None] * 4

        def work(i):
            sessions[i].init(5)
            for _ in range(50):
                out[i] = sessions[i](x=x, y=y)["fit"]

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        for o in out[1:]:
            np.testing.assert_array_equal(o, out[0])


class Errors(unittest.TestCase):
    def test_models(self):
        with self.assertRaisesRegex(jepac.Error, "m.jepa:1:39: error: .*relo") as e:
            jepac.loads("model M { entry f(x: f32[3]) { return relo(x) } }", name="m.jepa").compile()
        self.assertEqual(e.exception.status, "model")
        with self.assertRaisesRegex(jepac.Error, "cannot read model /none.jepa") as e:
            jepac.load("/none.jepa")
        self.assertEqual(e.exception.status, "file")
        with self.assertRaisesRegex(jepac.Error, "no entry 'backward'"):
            jepac.loads(FIT).compile("backward")
        with self.assertRaises(ValueError):
            jepac.loads(FIT, precision="f8")
        with self.assertRaises(TypeError):
            jepac.loads(FIT, "width=3")
        with self.assertRaisesRegex(jepac.Error, "a.safetensors"):
            jepac.loads(FIT).compile().load("/nowhere/a.safetensors")


try:
    import torch
except ImportError:
    torch = None


@unittest.skipUnless(torch, "torch is not installed")
class Torch(unittest.TestCase):
    def test_module(self):
        from jepac.torch import Module

        session = jepac.loads(FIT, threads=1).compile("forward")
        session.init(2)
        module = Module(session, result="fit")
        x, y = (torch.from_numpy(v) for v in batch())
        net = torch.nn.Sequential(torch.nn.Linear(2, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
        net.load_state_dict({name.removeprefix("net."): v for name, v in module.state_dict().items()})
        torch.testing.assert_close(module(x, y), net(x).detach(), rtol=1e-5, atol=1e-6)
        with torch.no_grad():
            for p in net.parameters():
                p.normal_()
        module.load_state_dict({"net." + name: v for name, v in net.state_dict().items()})
        torch.testing.assert_close(module(x=x, y=y), net(x).detach(), rtol=1e-5, atol=1e-6)
        negated = torch._neg_view(x)
        torch.testing.assert_close(module(negated, y), net(-x).detach(), rtol=1e-5, atol=1e-6)
        with self.assertRaisesRegex(TypeError, "cannot be copied"):
            copy.deepcopy(module)
        kept = Module(session, result="fit")
        kept.load_state_dict({name: v.clone() for name, v in kept.state_dict().items()}, assign=True)
        with self.assertRaisesRegex(RuntimeError, "no longer the session's memory"):
            kept(x, y)
        with self.assertRaisesRegex(RuntimeError, "no backward"):
            module(x.requires_grad_(), y)

    def test_tensors(self):
        """What DLPack cannot tell of a tensor: a sign that is still to be applied, a type that NumPy has not."""
        f = jepac.loads("model M { entry f(x: f32[4]) { return y = x + 0 } }", threads=1).compile()
        x = torch.arange(4.0)
        for given in (torch._neg_view(-x), x.bfloat16(), x.half(), x.double(), x.clone().requires_grad_()):
            np.testing.assert_array_equal(f(given)["y"], x.numpy())


if __name__ == "__main__":
    unittest.main()
