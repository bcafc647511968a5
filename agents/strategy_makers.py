"""How each strategy of Avalanche is made, and how its network answers afterwards.

Where a strategy of the library asks for more than a stream can give, or goes wrong, what is done
about it stands here, beside it; nothing of the library is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from torch import nn

from agents.avalanche import avalanche
from agents.generative import generator
from agents.heads import Headed
from agents.networks import Network
from agents.strategy_models import Answering, Cosine, Features, every_head, last, with_last
from agents.strategy_parts import Parts, cross_entropy

_DECAY = 0.9  # of the importances in online EWC
_DAMPING = 0.1  # of the importances in synaptic intelligence, as Zenke et al. (2017)
_BETA = 0.5  # weight of the labels of remembered trials in DER++


def stock(name: str, told: Callable[[Parts], dict[str, Any]] = lambda _: {}) -> Any:
    """Return what makes a strategy of the library.

    Args:
        name: The name of its class.
        told: Returns the arguments that are its own.
    """

    def make(parts: Parts) -> Any:
        kind = getattr(_training(), name)
        return kind(**parts.common(), **parts.taught(Answering(parts.network)), **told(parts))

    return make


def remembering(parts: Parts) -> dict[str, Any]:
    """Return the argument of a strategy with one memory."""
    return {"mem_size": parts.settings.memory}


def rehearsing(parts: Parts) -> dict[str, Any]:
    """Return the arguments of one that says how many trials come from there in a step."""
    batch = min(parts.settings.batch, parts.settings.memory)
    return remembering(parts) | {"batch_size_mem": batch}


def ewc(parts: Parts) -> dict[str, Any]:
    """Return the arguments of EWC with importances for each experience."""
    return {"ewc_lambda": parts.strength, "mode": "separate"}


def ewc_online(parts: Parts) -> dict[str, Any]:
    """Return the arguments of EWC with one sum of importances."""
    return {"ewc_lambda": parts.strength, "mode": "online", "decay_factor": _DECAY}


def mas(parts: Parts) -> dict[str, Any]:
    """Return the arguments of memory-aware synapses."""
    return {"lambda_reg": parts.strength, "verbose": False}


def gem(parts: Parts) -> dict[str, Any]:
    """Return the arguments of GEM."""
    return {"patterns_per_exp": _each(parts), "memory_strength": parts.strength}


def agem(parts: Parts) -> dict[str, Any]:
    """Return the arguments of A-GEM, whose sample holds a trial of each experience at least."""
    sample = max(parts.settings.batch, parts.experiences)
    return {"patterns_per_exp": _each(parts), "sample_size": sample}


def derpp(parts: Parts) -> dict[str, Any]:
    """Return the arguments of DER++."""
    return rehearsing(parts) | {"alpha": parts.strength, "beta": _BETA}


def lwf(parts: Parts) -> Any:
    """Make distillation; where the task is told, that of every head."""
    network = parts.network
    model = every_head(network) if isinstance(network, Headed) else Answering(network)
    temperature = parts.settings.temperature
    return _naive(parts, model, _plugins().LwFPlugin(parts.strength, temperature=temperature))


def si(parts: Parts) -> Any:
    """Make synaptic intelligence."""
    plugin = _synapses()(parts.strength, eps=_DAMPING)
    return _naive(parts, Answering(parts.network), plugin)


def cwr(parts: Parts) -> Any:
    """Make CWR*."""
    model, _, star = _star(parts, freeze=True)
    return _naive(parts, model, star)


def ar1(parts: Parts) -> Any:
    """Make AR1 (Maltoni and Lomonaco, 2019): CWR* with synaptic intelligence below.

    The library's own is bound to one pretrained network, which it downloads.
    """
    model, name, star = _star(parts, freeze=False)
    below = _synapses()(parts.strength, eps=_DAMPING, excluded_parameters=[name])
    return _naive(parts, model, star, below)


def icarl(parts: Parts) -> Any:
    """Make iCaRL, whose loss is a sum over classes; that of the library is the mean."""
    features, classifier = Features(parts.network), last(parts.network)
    taught = parts.taught(nn.ModuleList([features, classifier]), hasten=parts.classes)
    strategy = _training().ICaRL(
        feature_extractor=features,
        classifier=classifier,
        optimizer=taught["optimizer"],
        memory_size=parts.settings.memory,
        buffer_transform=None,
        fixed_memory=True,
        **parts.common(),
    )
    # Room for the classes to come: the library asks the benchmark, which has not met them yet.
    room = torch.zeros(parts.classes, classifier.in_features, device=parts.device)
    _plugin(strategy, "_ICaRLPlugin").class_means = dict(enumerate(room))
    return strategy


def slda(parts: Parts) -> Any:
    """Make streaming LDA, on the features of a network that stays as it was drawn."""
    features = Features(parts.network).requires_grad_(requires_grad=False)
    return _training().StreamingLDA(
        slda_model=features,
        criterion=cross_entropy,
        input_size=last(parts.network).in_features,
        num_classes=parts.classes,
        **{**parts.common(), "train_epochs": 1},
    )


def generative(parts: Parts) -> Any:
    """Make generative replay."""
    common = parts.common()
    beside = generator((1, *(parts.space.shape or ())), **parts.common())
    taught = parts.taught(Answering(parts.network))
    return _training().GenerativeReplay(generator_strategy=beside, **common, **taught)


def as_taught(_: Parts, strategy: Any) -> Network:
    """Return the network of a strategy that answers with what it teaches."""
    network: Network = strategy.model.network
    return network


def nearest(parts: Parts, strategy: Any) -> Network:
    """Return a network that answers with the class whose exemplars are nearest."""
    return with_last(parts.network, Cosine(strategy.model.eval_classifier.class_means))


def discriminant(parts: Parts, strategy: Any) -> Network:
    """Return a network whose last layer are the discriminants of streaming LDA."""
    layer = nn.Linear(strategy.input_size, parts.classes, device=parts.device)
    with torch.no_grad():
        origin = strategy.predict(torch.zeros(1, strategy.input_size, device=parts.device))
        units = strategy.predict(torch.eye(strategy.input_size, device=parts.device))
        layer.bias.copy_(origin[0])
        layer.weight.copy_((units - origin).T)
    return with_last(parts.network, layer)


def nothing(_: Any) -> int:
    """Return what a strategy is shown beside the batch: nothing."""
    return 0


def sampled(strategy: Any) -> int:
    """Return the trials of A-GEM's reference gradient."""
    plugin = _plugin(strategy, "AGEMPlugin")
    groups = len(plugin.buffers)
    return plugin.sample_size // groups * groups if groups else 0


def remembered(strategy: Any) -> int:
    """Return the trials of GEM's reference gradients."""
    return sum(map(len, _plugin(strategy, "GEMPlugin").memory_y.values()))


def rehearsed(strategy: Any) -> int:
    """Return the trials of ER-ACE's second batch."""
    return len(strategy.mb_buffer_x) if strategy.replay_loader is not None else 0


def _training() -> Any:
    return avalanche("avalanche.training.supervised")


def _plugins() -> Any:
    return avalanche("avalanche.training.plugins")


def _naive(parts: Parts, model: nn.Module, *plugins: Any) -> Any:
    """Return plain training with plugins."""
    return _training().Naive(**parts.common(*plugins), **parts.taught(model))


def _plugin(strategy: Any, name: str) -> Any:
    return next(plugin for plugin in strategy.plugins if type(plugin).__name__ == name)


def _each(parts: Parts) -> int:
    """Return how many trials of each experience a memory keeps."""
    return parts.settings.memory // parts.experiences


def _star(parts: Parts, *, freeze: bool) -> tuple[nn.Module, str, Any]:
    """Return a model without biases in its last layer, the name of that layer, and CWR* on it.

    CWR* consolidates weights alone: biases would go on favouring what was learned last.
    """
    last(parts.network).register_parameter("bias", None)
    model = Answering(parts.network, whole=True)
    name, _ = avalanche("avalanche.training.utils").get_last_fc_layer(model)
    return model, name, _plugins().CWRStarPlugin(model, name, freeze_remaining_model=freeze)


@cache
def _synapses() -> Any:
    """Return the plugin of synaptic intelligence.

    The library's own measures nothing on a processor: what it keeps as the weights before a step is
    a view of the weights, which moves with them. And it lets importances be negative, which rewards
    weights for leaving.
    """

    class SynapticIntelligence(_plugins().SynapticIntelligencePlugin):  # type: ignore[misc]
        def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
            super().before_training_exp(strategy, **kwargs)
            _copy(self.ewc_data[0])

        def before_training_iteration(self, strategy: Any, **kwargs: Any) -> None:
            super().before_training_iteration(strategy, **kwargs)
            _copy(self.syn_data["old_theta"])

        def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
            super().after_training_exp(strategy, **kwargs)
            for importance in self.ewc_data[1].values():
                importance.data.clamp_(min=0)

    return SynapticIntelligence


def _copy(weights: Mapping[str, Any]) -> None:
    """Replace views by copies."""
    for each in weights.values():
        each.data = each.data.clone()
