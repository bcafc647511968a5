from __future__ import annotations

import pytest

from neurotasks.errors import MissingExtra

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from torch.utils.data import TensorDataset  # noqa: E402

from agents import avalanche_loader  # noqa: E402
from agents.avalanche import avalanche, quiet  # noqa: E402
from agents.avalanche_loader import fast  # noqa: E402
from agents.avalanche_streams import benchmark  # noqa: E402
from agents.isolation import isolated  # noqa: E402
from tests.agents.blobs import (  # noqa: E402
    CLASSES,
    SETTINGS,
    SIDE,
    Blobs,
    Featured,
    dropping,
    trained,
    weights,
)

try:
    training = avalanche("avalanche.training")
except MissingExtra as missing:
    pytest.skip(str(missing), allow_module_level=True)


@pytest.fixture(scope="module")
def stream():
    return benchmark(Blobs(), dtype=torch.float32)


policies = avalanche("avalanche.training.storage_policy")
plugins = avalanche("avalanche.training.plugins")


def named(name, **fixed):
    return lambda **settings: getattr(training, name)(**fixed, **settings)


def plugged(make):
    return lambda **settings: training.Naive(plugins=[make()], **settings)


def replaying(policy):
    return plugged(lambda: plugins.ReplayPlugin(mem_size=20, storage_policy=policy()))


def icarl(model, criterion, **settings):
    parts = {"feature_extractor": model.feature_extractor, "classifier": model.classifier}
    return training.ICaRL(
        **parts, memory_size=20, buffer_transform=None, fixed_memory=True, **settings
    )


def er_aml(model, **settings):
    return training.ER_AML(
        model=model, feature_extractor=model.feature_extractor, mem_size=60, **settings
    )


def online(**settings):
    """A loader of torch itself, as AR1 makes one."""

    class Plain(training.Naive):
        def make_train_dataloader(self, **_):
            self.dataloader = torch.utils.data.DataLoader(
                self.adapted_dataset, batch_size=8, shuffle=True, drop_last=True
            )

    return Plain(**settings)


STRATEGIES = {
    "naive": named("Naive"),
    "cumulative": named("Cumulative"),
    "from scratch": named("FromScratchTraining"),
    "replay": named("Replay", mem_size=20),
    "replay with a reservoir": replaying(lambda: policies.ReservoirSamplingBuffer(20)),
    "replay by class": replaying(lambda: policies.ClassBalancedBuffer(20)),
    "replay by experience": replaying(
        lambda: policies.ExperienceBalancedBuffer(20, adaptive_size=False, num_experiences=4)
    ),
    "EWC": named("EWC", ewc_lambda=10.0),
    "online EWC": named("EWC", ewc_lambda=10.0, mode="online", decay_factor=0.9),
    "SI": named("SynapticIntelligence", si_lambda=1.0),
    "MAS": named("MAS", lambda_reg=0.1),
    "LwF": named("LwF", alpha=1.0, temperature=2.0),
    "GEM": named("GEM", patterns_per_exp=10),
    "A-GEM": named("AGEM", patterns_per_exp=10, sample_size=10),
    "GDumb": named("GDumb", mem_size=20),
    "DER": named("DER", mem_size=20),
    "DER++": named("DER", mem_size=20, beta=0.5),
    "ER-ACE": named("ER_ACE", mem_size=20),
    "ER-AML": er_aml,
    "MIR": named("MIR", mem_size=20, subsample=10, batch_size_mem=5),
    "GSS": named("GSS_greedy", mem_size=60, mem_strength=10, input_size=[1, SIDE, SIDE]),
    "CWR*": named("CWRStar", cwr_layer_name="classifier"),
    "RWalk": plugged(lambda: plugins.RWalkPlugin(ewc_lambda=0.1, delta_t=5)),
    "BiC": plugged(lambda: plugins.BiCPlugin(20, stage_2_epochs=2)),
    "iCaRL": icarl,
    "loader of torch": online,
}
FEATURED = {"iCaRL", "CWR*", "ER-AML"}


@pytest.fixture
def gathered(monkeypatch):
    """Counts the batches that come out of tensors."""
    counts = []
    take = avalanche_loader._Items.__getitems__
    monkeypatch.setattr(
        avalanche_loader._Items,
        "__getitems__",
        lambda self, items: counts.append(len(items)) or take(self, items),
    )
    return counts


@pytest.mark.parametrize("name", STRATEGIES)
def test_weights_are_the_same_to_the_last_bit(stream, name, gathered, monkeypatch):
    class Schedule(torch.optim.lr_scheduler.MultiStepLR):
        def __init__(self, *args, verbose, **settings):  # BiC asks more of it than torch knows
            super().__init__(*args, **settings)

    monkeypatch.setattr(avalanche("avalanche.training.plugins.bic"), "MultiStepLR", Schedule)
    network = Featured if name in FEATURED else dropping
    stock = trained(STRATEGIES[name], stream, gather=False, network=network)
    assert gathered == []
    ours = trained(STRATEGIES[name], stream, gather=True, network=network)
    assert len(gathered) > 20
    assert torch.isfinite(weights(stock)).all()
    assert torch.equal(weights(stock), weights(ours))


def tensors(count=20):
    generator = torch.Generator().manual_seed(count)
    x = torch.rand(count, 1, SIDE, SIDE, generator=generator)
    data = TensorDataset(x, torch.arange(count) % CLASSES)
    data.targets = data.tensors[1].tolist()
    return data


def classic(**settings):
    """A benchmark of the library's own, whose classes come in another order than their numbers."""
    train, test, order = tensors(120), tensors(60), [4, 1, 0, 5, 3, 2]
    make = avalanche("avalanche.benchmarks").nc_benchmark
    with quiet():
        return make(train, test, 3, task_labels=False, fixed_class_order=order, **settings)


def unlabelled():
    """A benchmark of the library's newer kind, which has no task labels."""
    utils, data = avalanche("avalanche.benchmarks.utils"), {"train": 120, "test": 60}
    return avalanche("avalanche.benchmarks").class_incremental_benchmark(
        {name: utils.as_classification_dataset(tensors(count)) for name, count in data.items()},
        class_order=[4, 1, 0, 5, 3, 2],
        num_experiences=3,
    )


def test_benchmarks_of_the_library_are_gathered_as_well(gathered):
    found = [
        trained(named("Replay", mem_size=20), unlabelled(), gather=gather)
        for gather in (False, True)
    ]
    assert gathered
    assert torch.equal(weights(found[0]), weights(found[1]))


@pytest.mark.parametrize(
    "settings", [{}, {"train_transform": torch.neg, "eval_transform": torch.neg}]
)
def test_what_is_transformed_is_loaded_as_ever(gathered, settings):
    """The library's older benchmarks map the classes, be it to themselves."""
    found = [
        trained(named("Replay", mem_size=20), classic(**settings), gather=gather)
        for gather in (False, True)
    ]
    assert gathered == []
    assert torch.equal(weights(found[0]), weights(found[1]))


@pytest.fixture
def data(stream):
    return stream.train_stream[0].dataset


def attribute(data, values, name="weight"):
    made = avalanche("avalanche.benchmarks.utils").DataAttribute(values, name, use_in_getitem=True)
    return data.update_data_attribute(name, made)


def loaded(batches):
    return [[part.clone() for part in batch] for batch in batches]


def assert_same(data, *, gathers, make="SingleDatasetDataLoader", batch_size=7, **settings):
    """Compare all batches of two epochs, and the random numbers that come after them."""
    maker = getattr(avalanche("avalanche.benchmarks.utils.data_loader"), make)
    loaders = [maker(data, batch_size=batch_size, shuffle=True, **settings) for _ in range(2)]
    gathering = avalanche_loader._gathering(loaders[1], torch.device("cpu"))
    assert ("_get_loader" in vars(gathering)) == gathers
    for loader in (loaders[0], gathering):
        with isolated(0):
            loader.found = [*loaded(loader), *loaded(loader), torch.rand(3)]
    torch.testing.assert_close(loaders[0].found, gathering.found, rtol=0, atol=0)


@pytest.mark.parametrize("drop_last", [False, True])
def test_batches_and_the_random_numbers_after_them_are_the_same(data, drop_last):
    assert_same(data, gathers=True, drop_last=drop_last)
    assert_same(data.subset([5, 1, 1, 40]), gathers=True, drop_last=drop_last)
    assert_same(data.subset(range(9)).concat(data), gathers=True, drop_last=drop_last)


def test_what_is_appended_to_items_is_gathered_in_its_order(data, stream):
    other = attribute(stream.train_stream[1].dataset, list(range(60, 120)))
    both = attribute(data, list(range(60))).concat(other).subset(range(119, 0, -3))
    assert_same(both, gathers=True)


def test_tasks_of_unequal_size_are_balanced_as_ever():
    joined = [e.dataset for e in benchmark(Blobs(told=3)).train_stream]
    data = joined[0].concat(joined[1].subset(range(10))).concat(joined[2].subset(range(33)))
    for more in (False, True):
        assert_same(data, gathers=True, make="TaskBalancedDataLoader", oversample_small_groups=more)


def test_items_that_are_no_rows_of_tensors_are_loaded_as_ever(data):
    class Doubled(TensorDataset):
        def __getitem__(self, row):
            x, y = super().__getitem__(row)
            return 2 * x, y

    whole = avalanche("avalanche.benchmarks.utils").AvalancheDataset
    assert_same(whole([tensors()]), gathers=True)
    assert_same(whole([Doubled(*tensors().tensors)]), gathers=False)
    assert_same(attribute(data, [row / 7 for row in range(60)]), gathers=False)
    assert_same(attribute(data, [row > 7 for row in range(60)]), gathers=False)


def test_a_collate_function_of_ones_own_is_called():
    def collate(items):
        return [torch.stack([x for x, _ in items]).neg(), torch.tensor([y for _, y in items])]

    whole = avalanche("avalanche.benchmarks.utils").AvalancheDataset
    assert_same(whole([tensors()], collate_fn=collate), gathers=False)


def test_observations_of_several_shapes_are_loaded_as_ever():
    whole = avalanche("avalanche.benchmarks.utils").AvalancheDataset
    wide = TensorDataset(torch.rand(20, 1, 9, 9), torch.arange(20))
    mixed = whole([whole([tensors()]), whole([wide])])
    items = avalanche("avalanche.benchmarks.utils.data_loader").SingleDatasetDataLoader(mixed)
    assert "_get_loader" not in vars(avalanche_loader._gathering(items, torch.device("cpu")))
    assert_same(mixed, gathers=False, batch_size=1)


def test_worker_processes_are_kept(data):
    loaders = avalanche("avalanche.benchmarks.utils.data_loader")
    loader = loaders.SingleDatasetDataLoader(data, num_workers=1)
    assert avalanche_loader._gathering(loader, torch.device("cpu")) is loader
    assert "_get_loader" not in vars(loader)


def test_without_its_evaluator_a_strategy_learns_the_same(stream):
    found = [trained(training.Naive, stream, gather=False)]
    with quiet(), isolated(3):
        model = dropping()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        slim = fast(training.Naive(model=model, optimizer=optimizer, **SETTINGS), evaluator=False)
        for experience in stream.train_stream:
            slim.train(experience)
            assert slim.eval(stream.test_stream) == {}
    assert slim.evaluator not in slim.plugins
    assert torch.equal(weights(found[0]), weights(slim))
