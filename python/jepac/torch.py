"""A session of jepac as a torch.nn.Module, for inference: parameters and buffers share memory with the session, inputs are
read where they lie."""
import numpy as np
import torch

from . import Session


class Module(torch.nn.Module):
    """forward takes the entry's inputs in their order or by name, on the CPU, and returns its results as a dictionary, or the
    one that `result` names. state_dict and load_state_dict have the model's names. It has no backward: train with
    Model.compile("train_step"), or ask for gradients with Model.compile(entry, grad=True)."""

    def __init__(self, session: Session, result=None):
        super().__init__()
        if result is not None and result not in session.results:
            raise ValueError(f"there is no result {result!r}: it has {', '.join(session.results)}")
        self._session, self._result = session, result
        for name in session.states:
            module, *_, leaf = self, *name.rsplit(".", 1)
            for part in name.split(".")[:-1]:
                if part not in module._modules:
                    module.add_module(part, torch.nn.Module())
                module = module._modules[part]
            module.register_buffer(leaf, torch.from_numpy(session[name]))

    def _shared(self):
        """Every buffer is still the session's memory."""
        for name, x in self.named_buffers():
            if x.data_ptr() != self._session[name].ctypes.data:
                raise RuntimeError(f"{name} is no longer the session's memory: it was replaced or converted (load_state_dict with assign, "
                                   "to, half, double), which a session does not see")

    @torch.no_grad()
    def forward(self, *args, **inputs):
        self._shared()
        for x in (*args, *inputs.values()):
            if isinstance(x, torch.Tensor) and x.requires_grad:
                raise RuntimeError("a session of jepac has no backward: detach its inputs")
        out = self._session(*args, **inputs)
        out = {name: torch.from_numpy(np.asarray(x)) for name, x in out.items()}
        return out if self._result is None else out[self._result]
