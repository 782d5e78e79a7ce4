"""libjepac (include/jepac.h) through ctypes: finding it, its structures, its functions."""
import ctypes
import ctypes.util
import os
import sys

from ._version import __version__

STATUS = {1: "model", 2: "usage", 3: "file", 4: "nonfinite", 6: "budget"}
INPUT, STATE, RUNTIME, RESULT = range(4)
F32, F64, BF16, I32, I64, U32, BOOL, I8, U8, I16, U16, U64, F16 = range(1, 14)
TRAIN, GRAD = 1, 2


class Options(ctypes.Structure):
    _fields_ = [("set", ctypes.POINTER(ctypes.c_char_p)), ("models_dir", ctypes.c_char_p), ("cache_dir", ctypes.c_char_p),
                ("threads", ctypes.c_int), ("max_memory", ctypes.c_int64), ("precision", ctypes.c_int),
                ("allow", ctypes.c_int), ("ranks", ctypes.c_void_p)]


class Tensor(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("kind", ctypes.c_int), ("type", ctypes.c_int), ("rank", ctypes.c_int),
                ("dim", ctypes.c_int64 * 8), ("bytes", ctypes.c_int64), ("data", ctypes.c_void_p)]


_pointer, _text, _int = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
_functions = {  # name: result, arguments
    "jepac_version": (_text, []),
    "jepac_load_text": (_pointer, [_text, _text, ctypes.POINTER(Options)]),
    "jepac_load_file": (_pointer, [_text, ctypes.POINTER(Options)]),
    "jepac_load_status": (_int, [_pointer]),
    "jepac_message": (_text, [_pointer]),
    "jepac_model_free": (None, [_pointer]),
    "jepac_entry_count": (_int, [_pointer]),
    "jepac_entry_name": (_text, [_pointer, _int]),
    "jepac_compile": (_pointer, [_pointer, _text, _int]),
    "jepac_session_free": (None, [_pointer]),
    "jepac_tensor_count": (_int, [_pointer]),
    "jepac_tensor_at": (Tensor, [_pointer, _int]),
    "jepac_bind": (_int, [_pointer, _text, _pointer]),
    "jepac_set_number": (_int, [_pointer, _text, ctypes.c_int64]),
    "jepac_init": (None, [_pointer, ctypes.c_uint64]),
    "jepac_run": (_int, [_pointer]),
    "jepac_copy_states": (_int, [_pointer, _pointer]),
    "jepac_save": (_int, [_pointer, _text]),
    "jepac_load": (_int, [_pointer, _text]),
}


def _candidates():
    asked = os.environ.get("JEPAC_LIBRARY")
    if asked:
        yield asked
        return
    here = os.path.dirname(os.path.abspath(__file__))
    yield os.path.join(here, "..", "..", "build", "libjepac.so")  # an editable install of the sources
    for folder in ("lib", f"lib/{os.uname().machine}-linux-gnu"):
        for prefix in dict.fromkeys((sys.prefix, sys.base_prefix, "/usr/local", "/usr")):
            yield os.path.join(prefix, folder, "libjepac.so")
            yield os.path.join(prefix, folder, "libjepac.so.0")


def open_library():
    """The library with its functions declared; ImportError says where it was looked for."""
    asked = os.environ.get("JEPAC_LIBRARY")
    path = next((p for p in _candidates() if os.path.exists(p)), None) or ctypes.util.find_library("jepac")
    if not path:
        raise ImportError(f"JEPAC_LIBRARY names {asked}, which does not exist" if asked else
                          "libjepac.so is not installed: build jepac and run `cmake --install build`, or set JEPAC_LIBRARY to its path")
    try:
        library = ctypes.CDLL(path)
        for name, (result, arguments) in _functions.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as e:
        raise ImportError(f"cannot use {path}: {e}") from None
    version = library.jepac_version().decode()
    if version.split(".")[:2] != __version__.split(".")[:2]:
        raise ImportError(f"{path} is libjepac {version}, but this package is for {__version__}")
    return library
