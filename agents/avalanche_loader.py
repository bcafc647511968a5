"""Avalanche without its loading of items one by one: the same weights in less time.

    strategy = fast(Naive(model=model, optimizer=optimizer))

Avalanche puts each batch together from single items, which can take as long as the training of a
small network. Here a plugin leaves to Avalanche, and to its other plugins, which items come in
which order, and takes each batch out of tensors at once. No random number is drawn more, less or
elsewhere, so that the weights come out the same to the last digit.
"""

# ruff: noqa: SLF001 - Avalanche does not say in public where its items lie and how it orders them;
# its version is pinned, and tests hold the weights equal to those without the plugin.

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate

from agents.avalanche import avalanche

__all__ = ["Gather", "fast"]

Leaf: TypeAlias = Callable[[Any], NDArray[np.int64]]

_ROW = 32  # a place is the number of a leaf and, in so many lower bits, the row in it


def fast(strategy: Any, *, evaluator: bool = True) -> Any:
    """Let a strategy of Avalanche take its batches out of tensors, and return it.

    Args:
        strategy: Any one, with all the plugins that it shall have.
        evaluator: Whether its evaluator stays. Without it no metric is computed and no logger
            called; even `evaluator=None` is one for Avalanche, which is called in vain.
    """
    if not evaluator:
        strategy.plugins.remove(strategy.evaluator)
    strategy.plugins.append(Gather())
    return strategy


class Gather:
    """A plugin that comes last, and makes the loader of the others take batches out of tensors.

    It knows data that lie in `TensorDataset`s, untransformed, in any selection and order, as
    `agents.avalanche_streams.benchmark` makes them. Others, and those for which a loader has worker
    processes or a collate function of its own, are loaded as ever.
    """

    def before_training_exp(self, strategy: Any, **_: Any) -> None:
        """Change the loader of what is to be learned."""
        strategy.dataloader = _gathering(strategy.dataloader, strategy.device)

    def before_eval_exp(self, strategy: Any, **_: Any) -> None:
        """Change the loader of what is to be evaluated."""
        strategy.dataloader = _gathering(strategy.dataloader, strategy.device)


class _UnknownDataError(Exception):
    """The data do not lie in tensors as they are shown; they are loaded as ever."""


class _Items(Dataset[list[Tensor]]):
    """Items side by side, of which torch's loader takes whole batches.

    Args:
        stored: Tensors (N, ...) that hold the items.
        rows: Which of their rows the items are, (M,).
        appended: Tensors (M,) with what Avalanche appends to each item.
    """

    def __init__(self, stored: Sequence[Tensor], rows: Tensor, appended: Sequence[Tensor]) -> None:
        self.stored = stored
        self.rows = rows
        self.appended = appended

    def __getitems__(self, items: list[int]) -> list[Tensor]:
        """Return a batch."""
        index = torch.tensor(items, device=self.rows.device)
        row = self.rows.index_select(0, index)
        return [
            *(tensor.index_select(0, row) for tensor in self.stored),
            *(tensor.index_select(0, index) for tensor in self.appended),
        ]


def _gathering(loader: Any, device: torch.device) -> Any:
    """Return a loader that draws the same batches out of tensors; itself where it cannot."""
    loaders = avalanche("avalanche.benchmarks.utils.data_loader")
    try:
        if type(loader).__module__ == loaders.__name__:
            items = _side_by_side(loader.datasets, loader.loader_kwargs, device)
            loader._get_loader = lambda: _loader(items, _order(loader))
        elif type(loader) is DataLoader:
            items = _side_by_side([loader.dataset], vars(loader), device)
            return _loader(items, loader.batch_sampler, loader.generator)
    except _UnknownDataError:
        pass
    return loader


def _loader(items: _Items, order: Any, generator: torch.Generator | None = None) -> Any:
    # It draws a random number of its own as it begins, as the one in whose place it stands.
    return DataLoader(items, batch_sampler=order, collate_fn=_same, generator=generator)


def _same(batch: list[Tensor]) -> list[Tensor]:
    return batch


def _order(loader: Any) -> Any:
    """Return which items come in which batch in the next epoch of a loader of Avalanche."""
    return avalanche("avalanche.benchmarks.utils.data_loader").MultiDatasetSampler(
        loader.datasets,
        loader._create_samplers(
            loader.datasets, loader.batch_sizes, loader.distributed_sampling, loader.loader_kwargs
        ),
        termination_dataset_idx=loader.termination_dataset,
        oversample_small_datasets=loader.oversample_small_datasets,
        never_ending=loader.never_ending,
    )


def _side_by_side(
    datasets: Sequence[Any], settings: Mapping[str, Any], device: torch.device
) -> _Items:
    """Return the items of data sets of Avalanche, one data set after the other.

    Raises:
        _UnknownDataError: They do not lie in tensors as they are shown.
    """
    whole = avalanche("avalanche.benchmarks.utils").AvalancheDataset
    if any(getattr(type(data), "__getitem__", None) is not whole.__getitem__ for data in datasets):
        raise _UnknownDataError
    names = [_appended(data) for data in datasets]
    alike = all(other == names[0] for other in names)
    if not alike or settings.get("num_workers") or settings["collate_fn"] is not default_collate:
        raise _UnknownDataError
    leaves: dict[int, TensorDataset] = {}
    places = np.concatenate([_places(data._flat_data, leaves) for data in datasets])
    appended = [
        np.concatenate(
            [_flat(data._data_attributes[name].data, _whole_numbers) for data in datasets]
        )
        for name in names[0]
    ]
    stored, rows = _stored(list(leaves.values()), places)
    index, *columns = (torch.from_numpy(array).to(device) for array in (rows, *appended))
    return _Items([tensor.to(device) for tensor in stored], index, columns)


def _appended(data: Any) -> list[str]:
    """Return the names of the attributes that a data set appends to its items."""
    return [name for name, each in data._data_attributes.items() if each.use_in_getitem]


def _places(data: Any, leaves: dict[int, TensorDataset]) -> NDArray[np.int64]:
    """Return where each item lies, and take note of the leaves among which it is."""

    def leaf(data: Any) -> NDArray[np.int64]:
        if not _in_tensors(data):
            raise _UnknownDataError
        leaves.setdefault(id(data), data)
        first = list(leaves).index(id(data)) << _ROW
        return np.arange(first, first + len(data))

    return _flat(data, leaf, data._transform_groups.current_group)


def _in_tensors(data: Any) -> bool:
    """Say whether items are rows of tensors; Avalanche makes an integer of the class in one."""
    if type(data) is TensorDataset:
        return True
    labelled = avalanche("avalanche.benchmarks.utils.classification_dataset")
    of_library = type(data) is labelled._TensorClassificationDataset
    return of_library and data.tensors[1].dtype == torch.int64


def _flat(data: Any, leaf: Leaf, group: str = "") -> NDArray[np.int64]:
    """Return what lies in a tree of selections and concatenations, (N,).

    Args:
        data: The tree.
        leaf: Returns what lies in a leaf.
        group: The transformations that are applied, of which there must be none.
    """
    if not isinstance(data, avalanche("avalanche.benchmarks.utils.flat_data").FlatData):
        return leaf(data)
    for name in ("_transform_groups", "_frozen_transform_groups"):
        transform = vars(data)[name].transform_groups[group] if name in vars(data) else None
        if transform is not None and any(getattr(transform, "transforms", [transform])):
            raise _UnknownDataError
    if not data._datasets:
        raise _UnknownDataError
    parts = [_flat(part, leaf, group) for part in data._datasets]
    found = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return found if data._indices is None else found[_positions(data._indices)]


def _positions(indices: Any) -> NDArray[np.int64]:
    """Return the positions of a selection, which may be a lazy list of Avalanche."""
    if hasattr(indices, "_to_eager"):
        indices._to_eager()
        indices = indices._eager_list
    return np.fromiter(indices, np.int64, len(indices))


def _whole_numbers(values: Any) -> NDArray[np.int64]:
    """Return the whole numbers of an attribute."""
    sequence = avalanche("avalanche.benchmarks.utils.flat_data").ConstantSequence
    different = [values._constant_value] if isinstance(values, sequence) else values
    if not all(type(value) is int for value in different):
        raise _UnknownDataError
    return np.resize(np.array(different, dtype=np.int64), len(values))


def _stored(
    leaves: Sequence[TensorDataset], places: NDArray[np.int64]
) -> tuple[Sequence[Tensor], NDArray[np.int64]]:
    """Return tensors that hold all items, and which row of them each is.

    Those of a single leaf are taken as they are. Of several, the items alone are copied.
    """
    number, row = places >> _ROW, places & ((1 << _ROW) - 1)
    if len(leaves) == 1:
        return leaves[0].tensors, row
    kinds = {tuple((t.dtype, t.shape[1:], t.device) for t in leaf.tensors) for leaf in leaves}
    if len(kinds) != 1:
        raise _UnknownDataError
    order = np.argsort(number, kind="stable")
    ends = np.searchsorted(number[order], np.arange(len(leaves) + 1))
    taken = [torch.from_numpy(row[order[a:b]]) for a, b in itertools.pairwise(ends)]
    stored = [
        torch.cat([tensor[rows] for tensor, rows in zip(tensors, taken, strict=True)])
        for tensors in zip(*(leaf.tensors for leaf in leaves), strict=True)
    ]
    return stored, np.argsort(order)
