"""Models of jepac on NumPy arrays.

    import jepac
    model = jepac.load("models/mlp.jepa", set={"B": 32, "C": 1, "H": 28, "W": 28})
    forward = model.compile("forward")
    forward.load("runs/mine/checkpoint.safetensors")
    out = forward(image=images, label=labels)      # {"loss": ..., "logits": ...}

    step = model.compile("train_step")
    step.init(seed=1)
    for i, (images, labels) in enumerate(batches):
        step.set_number("step", i)
        loss = step(image=images, label=labels)["loss"]

It is a face of the C library libjepac: what a function does in detail stands in its header, jepac.h.
"""
import collections.abc
import os
import threading

import numpy as np

from . import _library as _c
from ._version import __version__

__all__ = ["Error", "Model", "Session", "load", "loads", "__version__"]

_lib = _c.open_library()
_dtypes = {_c.F32: np.dtype("f4"), _c.F64: np.dtype("f8"), _c.I32: np.dtype("i4"), _c.I64: np.dtype("i8"),
           _c.U32: np.dtype("u4"), _c.BOOL: np.dtype("?"), _c.I8: np.dtype("i1"), _c.U8: np.dtype("u1"), _c.I16: np.dtype("i2"),
           _c.U16: np.dtype("u2"), _c.U64: np.dtype("u8"), _c.F16: np.dtype("f2")}
try:
    import ml_dtypes
    _dtypes[_c.BF16] = np.dtype(ml_dtypes.bfloat16)
except ImportError:
    _dtypes[_c.BF16] = np.dtype("u2")  # the bits: NumPy has no such type
_precisions = {None: 0, "f32": _c.F32, "bf16": _c.BF16, "f16": _c.F16}


class Error(Exception):
    """What jepac reports. status is "model", "usage", "file", "nonfinite" or "budget"."""

    def __init__(self, message, status):
        super().__init__(message)
        self.status = status


def _words(set):
    if set is None:
        return []
    if isinstance(set, str):
        raise TypeError('set is a dictionary {"B": 32} or a list ["B=32"], not a text')
    if isinstance(set, collections.abc.Mapping):
        return [f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in set.items()]
    return list(set)


class _Owner:
    """What owns memory of the library: neither copied nor pickled."""

    def __reduce_ex__(self, protocol):
        raise TypeError(f"a {type(self).__name__} cannot be copied or pickled: compile another one and give it state_dict()")


class Model(_Owner):
    """A model file with its settings; made by load and loads."""

    def __init__(self, path, text, set, models, cache, threads, max_memory, precision):
        if precision not in _precisions:
            raise ValueError(f"precision is None, 'f32', 'bf16' or 'f16', not {precision!r}")
        words = [w.encode() for w in _words(set)]
        options = _c.Options((_c.ctypes.c_char_p * (len(words) + 1))(*words, None), os.fsencode(models) if models else None,
                             os.fsencode(cache) if cache else None, threads, max_memory, _precisions[precision])
        self._ptr = None
        pointer = (_lib.jepac_load_file(os.fsencode(path), options) if text is None
                   else _lib.jepac_load_text(text.encode(), path.encode(), options))
        self._ptr = pointer
        status = _lib.jepac_load_status(pointer)
        if status:
            raise self._error(status)

    def _error(self, status):
        return Error(_lib.jepac_message(self._ptr).decode(errors="replace").rstrip(), _c.STATUS.get(status, str(status)))

    def __del__(self):
        if getattr(self, "_ptr", None):
            _lib.jepac_model_free(self._ptr)

    @property
    def entries(self):
        return [_lib.jepac_entry_name(self._ptr, i).decode() for i in range(_lib.jepac_entry_count(self._ptr))]

    def compile(self, entry=None, train=False, grad=False):
        """A Session of an entry (None: the first) or of "train_step", the whole optimizer step. train: dropout and
        statistics of the batch; grad: results grad.PARAMETER of the first scalar result."""
        return Session(self, entry, train * _c.TRAIN | grad * _c.GRAD)


class _Handle:
    """A session of the library, freed when nothing needs it any more. Arrays of its memory hold this and not the Session, which
    holds them: NumPy's arrays take no part in Python's search for cycles."""

    def __init__(self, ptr, model):
        self.ptr, self._model = ptr, model

    def __del__(self):
        _lib.jepac_session_free(self.ptr)


class _Memory:
    """A tensor's memory as NumPy sees it."""

    def __init__(self, handle, tensor, shape, dtype):
        self._handle = handle
        self.__array_interface__ = {"version": 3, "shape": shape, "typestr": "<u2" if dtype.kind == "V" else dtype.str,
                                    "data": (tensor.data, False)}


def _array(x, name, dtype):
    """x as an array, without a copy where it has memory of its own: NumPy's, or anything with DLPack."""
    if not isinstance(x, np.ndarray) and hasattr(x, "__dlpack__"):
        if hasattr(x, "detach"):  # torch's: DLPack knows neither its gradient nor a sign still to be applied
            x = x.detach().resolve_neg()
        try:
            x = np.from_dlpack(x)
        except (TypeError, BufferError, RuntimeError):
            x = np.asarray(x.float() if str(getattr(x, "dtype", "")) == "torch.bfloat16" else x)
    x = np.asarray(x)
    if x.dtype == object:
        raise TypeError(f"{name} is no array of numbers")
    if x.dtype != dtype and not np.can_cast(x.dtype, dtype, "same_kind"):
        raise TypeError(f"{name} needs elements of type {dtype}, not {x.dtype}")
    return x


class Session(_Owner):
    """A compiled entry with its memory; its states have their initial values of seed 0. Calling it with one array for each
    input runs it once and returns its results by name; session[NAME] is the memory itself of any tensor. A session belongs
    to one thread at a time."""

    def __init__(self, model, entry, flags):
        self._model = model
        pointer = _lib.jepac_compile(model._ptr, entry.encode() if entry is not None else None, flags)
        if not pointer:
            raise model._error(1)
        self._handle = _Handle(pointer, model)
        self._ptr = pointer
        self._bound = {}  # arrays that the session reads
        self._running = threading.Lock()
        self._kinds = {kind: {} for kind in (_c.RESULT, _c.RUNTIME, _c.STATE, _c.INPUT)}  # a result may have an input's name
        for i in range(_lib.jepac_tensor_count(pointer)):
            t = _lib.jepac_tensor_at(pointer, i)
            shape, dtype = tuple(t.dim[: t.rank]), _dtypes[t.type]
            view = np.asarray(_Memory(self._handle, t, shape, dtype)).view(dtype)
            self._kinds[t.kind][t.name.decode()] = view
        self._tensors = {name: view for kind in self._kinds.values() for name, view in kind.items()}
        self.init()

    @property
    def inputs(self):
        return list(self._kinds[_c.INPUT])

    @property
    def results(self):
        return list(self._kinds[_c.RESULT])

    @property
    def states(self):
        return list(self._kinds[_c.STATE])

    def __getitem__(self, name):
        if name not in self._tensors:
            raise KeyError(f"{name!r}: it has {', '.join(self._tensors)}")
        return self._tensors[name]

    def _check(self, status):
        if status:
            raise self._model._error(status)

    def _set(self, name, x):
        view = self._kinds[_c.INPUT][name]
        x = _array(x, name, view.dtype)
        if x.shape != view.shape:
            raise ValueError(f"{name} has the shape {x.shape}, but the session is compiled for {view.shape}")
        own = x.flags.c_contiguous and x.dtype == view.dtype and x.size and x.ctypes.data % 64 == 0
        if own or name in self._bound:
            self._check(_lib.jepac_bind(self._ptr, name.encode(), x.ctypes.data if own else None))
            self._bound.pop(name, None)
        if own:
            self._bound[name] = x
        elif x is not view:
            view[...] = x

    def __call__(self, *args, copy=True, **inputs):
        """Runs once: inputs by position or by name, NumPy arrays or anything with DLPack. An array of the right type that is
        contiguous and aligned to 64 bytes is read where it lies, others are copied. Every input is given at each call: session[NAME]
        stands for what was written there. Results are new arrays, with copy=False the session's memory, overwritten by the next call. Where a scalar result is not
        finite no state changes, and Error says which."""
        names = self.inputs
        if len(args) > len(names):
            raise TypeError(f"{len(args)} inputs are given, but it has {len(names)}: {', '.join(names)}")
        given = dict(zip(names, args))
        for name, x in inputs.items():
            if name in given:
                raise TypeError(f"the input {name} is given twice")
            if name not in names:
                raise TypeError(f"there is no input {name}: it has {', '.join(names)}")
            given[name] = x
        if not self._running.acquire(blocking=False):
            raise RuntimeError("the session is running on another thread")
        try:
            for name, x in given.items():
                self._set(name, x)
            missing = [name for name in names if name not in given]
            if missing:
                raise TypeError(f"not given: {', '.join(missing)}")
            self._check(_lib.jepac_run(self._ptr))
            return {name: x.copy() if copy else x for name, x in self._kinds[_c.RESULT].items()}
        finally:
            self._running.release()

    def init(self, seed=0):
        """Initial values for all states."""
        _lib.jepac_init(self._ptr, seed)

    def set_number(self, name, value):
        """Sets seed, step, steps_per_epoch or total_steps."""
        self._check(_lib.jepac_set_number(self._ptr, name.encode(), value))

    def load(self, path):
        """States from a .safetensors file, or a run's folder; every parameter and buffer must be there."""
        if os.path.isdir(path):
            path = os.path.join(path, "checkpoint.safetensors")
        self._check(_lib.jepac_load(self._ptr, os.fsencode(path)))

    def save(self, path):
        self._check(_lib.jepac_save(self._ptr, os.fsencode(path)))

    def copy_states(self, other):
        """Copies the states both sessions have, by name; returns how many."""
        return _lib.jepac_copy_states(self._ptr, other._ptr)

    def state_dict(self):
        """A copy of every state, by name."""
        return {name: self[name].copy() for name in self.states}

    def load_state_dict(self, states, strict=True):
        """Copies arrays into the states of their names. strict: the names must be the same on both sides. Nothing changes
        where something does not fit."""
        own = set(self.states)
        if strict and own != set(states):
            raise KeyError(f"missing: {sorted(own - set(states))}, not in the model: {sorted(set(states) - own)}")
        new = {}
        for name in own & set(states):
            new[name] = _array(states[name], name, self[name].dtype)
            if new[name].shape != self[name].shape:
                raise ValueError(f"{name} has the shape {new[name].shape}, but the model needs {self[name].shape}")
        for name, x in new.items():
            self[name][...] = x


def load(path, set=None, *, models=None, cache=None, threads=0, max_memory=0, precision=None):
    """Loads a model file. set: dimensions, parameters and recipe settings, {"B": 32} or ["B=32"]; models: the folder where
    `use "nn/..."` looks, None for the installed ones; cache: a folder for machine code; threads: 0 for one each CPU; max_memory: a
    session's memory in bytes, 0 for no limit; precision: "f32", "bf16" or "f16", None for the recipe's."""
    return Model(path, None, set, models, cache, threads, max_memory, precision)


def loads(text, set=None, *, name="text", models=None, cache=None, threads=0, max_memory=0, precision=None):
    """Loads a model from its text; name stands in messages."""
    return Model(name, text, set, models, cache, threads, max_memory, precision)
