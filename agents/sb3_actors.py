"""The policies of Stable-Baselines3 as networks with our signature."""

from __future__ import annotations

import math
from typing import Any

import gymnasium as gym
import torch

from agents.networks import Network, Readout
from agents.training import TorchAgent
from neurotasks.errors import MissingExtra

try:
    from stable_baselines3.common.preprocessing import preprocess_obs
    from stable_baselines3.common.vec_env import VecNormalize
    from stable_baselines3.dqn.policies import DQNPolicy
    from stable_baselines3.sac.policies import SACPolicy
except ModuleNotFoundError as missing:
    raise MissingExtra("stable-baselines3", "sb3") from missing

from torch import Tensor, nn

__all__ = ["Actor", "actor"]


class Actor(Network):
    """The half of a policy that answers.

    Its output is the logits of a Discrete space (of a deep Q-network the values), or the mean
    action in a Box space: what the policy itself answers when it is asked for its most likely
    action.

    Args:
        policy: An actor-critic, recurrent or not, or a policy of DQN or SAC.
        normal: How observations were normalised in training; None where they were not.

    Attributes:
        state: (2 L, width) of a recurrent policy with L layers: what their units answered last,
            then what they remember.
    """

    low: Tensor
    high: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, policy: Any, normal: VecNormalize | None = None) -> None:
        super().__init__(policy.observation_space)
        self.space, self.images = policy.observation_space, policy.normalize_images
        self.squashed = isinstance(policy, SACPolicy)
        self.cells: nn.LSTM | None = getattr(policy, "lstm_actor", None)
        if self.cells is not None:
            self.state = (2 * self.cells.num_layers, self.cells.hidden_size)
        self.features, self.layers = _parts(policy)
        self.bounded = isinstance(policy.action_space, gym.spaces.Box)
        if self.bounded:
            self.register_buffer("low", torch.tensor(policy.action_space.low.reshape(-1)))
            self.register_buffer("high", torch.tensor(policy.action_space.high.reshape(-1)))
        self.limit = math.inf if normal is None else float(normal.clip_obs)
        if normal is not None:
            seen: Any = normal.obs_rms  # mean and variance, one pair as the space is no Dict
            self.register_buffer("mean", torch.tensor(seen.mean).float())
            self.register_buffer("scale", torch.tensor((seen.var + normal.epsilon) ** 0.5).float())

    def forward(
        self, observation: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Answer each step, from it and from all before it if there is a memory."""
        flat = observation.flatten(0, 1)
        if math.isfinite(self.limit):
            flat = ((flat - self.mean) / self.scale).clamp(-self.limit, self.limit)
        encoded = preprocess_obs(flat, self.space, normalize_images=self.images)
        features = self.features(encoded)
        if self.cells is not None:
            features, state = self._remember(features, observation.shape[0], state)
        output = self.layers(features)
        if self.squashed:  # from -1 to 1
            output = self.low + 0.5 * (output + 1.0) * (self.high - self.low)
        elif self.bounded:
            output = torch.clamp(output, self.low, self.high)
        return output.reshape(*observation.shape[:2], -1), state

    def _remember(
        self, features: Tensor, batch: int, state: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return what the cells answer, (B T, width), and their next state (2 L, B, width)."""
        cells = self.cells
        if cells is None:
            return features, state
        steps = features.reshape(batch, -1, features.shape[-1]).transpose(0, 1)  # (T, B, F)
        layers = cells.num_layers
        pair = None if state is None else (state[:layers], state[layers:])
        hidden, after = cells(steps, pair)
        return hidden.transpose(0, 1).flatten(0, 1), torch.cat(after)


def _parts(policy: Any) -> tuple[nn.Module, nn.Module]:
    """Return what makes features of observations, and what makes answers of features."""
    if isinstance(policy, DQNPolicy):
        return policy.q_net.features_extractor, policy.q_net.q_net
    if isinstance(policy, SACPolicy):
        half = policy.actor
        return half.features_extractor, nn.Sequential(half.latent_pi, half.mu, nn.Tanh())
    answer = nn.Sequential(policy.mlp_extractor.policy_net, policy.action_net)
    return policy.pi_features_extractor, answer


def actor(
    policy: Any, normal: VecNormalize | None = None, samples: int | None = None
) -> TorchAgent:
    """Return the agent that takes a policy's most likely action.

    Args:
        policy: See `Actor`.
        normal: See `Actor`.
        samples: How many steps it was shown in training.
    """
    space = policy.action_space
    if isinstance(space, gym.spaces.Discrete):
        shape = Readout("cross-entropy", (), int(space.n), classes=True, start=int(space.start))
    else:
        dimensions = space.shape or ()
        shape = Readout("squared error", dimensions, math.prod(dimensions), classes=False)
    return TorchAgent(Actor(policy, normal).eval(), shape, samples)
