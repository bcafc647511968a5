"""Where torch computes, and with how many threads: the one place that decides it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from neurotasks.errors import MissingExtra

try:
    import torch
except ImportError as error:
    raise MissingExtra("torch", "torch") from error

__all__ = ["choose_device", "gpus", "one_thread"]


def choose_device(name: str) -> torch.device:
    """Return a device by its name.

    Args:
        name: "auto" (CUDA where there is one, else the processor), "cpu", "cuda" or "cuda:1" ...

    Raises:
        ValueError: There is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"there is no device {name!r} here: torch sees no CUDA; use 'auto'")
    return device


def gpus(device: torch.device) -> tuple[str, ...]:
    """Return the UUIDs, as NVIDIA's tools write them, of the GPUs that a device stands for."""
    if device.type != "cuda":
        return ()
    return (f"GPU-{torch.cuda.get_device_properties(device).uuid}",)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one processor thread inside the block.

    The networks of the suite are small: with more threads they wait for each other, on a busy
    machine a thousand times longer than they compute. Seeds run side by side in processes instead.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
