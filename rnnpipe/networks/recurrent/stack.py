"""The shape of a stack of recurrent layers: stated once, built from, and saved with a network."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from rnnpipe.config.training import Recurrence
from rnnpipe.networks.backend import keras
from rnnpipe.networks.recurrent.layer import Recurrent


@dataclass(frozen=True)
class StackConfig:
    """What recurrent layers one above the other have in common.

    Attributes:
        cell: ``simple_rnn``, ``lstm`` or ``gru``.
        hidden_size: units of a layer, a direction.
        num_layers: how many stand above each other.
        dropout_rate: share of the values between layers, and after the last, dropped in training.
        precision: of the factors in training, ``float32`` or ``mixed_bfloat16``.
    """

    cell: str
    hidden_size: int
    num_layers: int
    dropout_rate: float
    precision: str

    @classmethod
    def of(cls, params: Recurrence) -> Self:
        """Take it from the parameters of a training."""
        return cls(**{field.name: getattr(params, field.name) for field in fields(cls)})

    @classmethod
    def pop_from(cls, config: Mapping[str, Any]) -> tuple[Self, dict[str, Any]]:
        """Take it out of a saved layer's configuration; what is left comes too."""
        names = {field.name for field in fields(cls)}
        rest = {name: value for name, value in config.items() if name not in names}
        return cls(**{name: config[name] for name in names}), rest

    @property
    def state_size(self) -> int:
        """Width of a layer's state: an LSTM's is hidden state and carry side by side."""
        return self.hidden_size * (2 if self.cell == "lstm" else 1)

    def layer(self, name: str, bidirectional: bool = False) -> Recurrent:
        """Return one of its layers, with weights of its own."""
        return Recurrent(self.cell, self.hidden_size, bidirectional, self.precision, name=name)

    def dropout(self, name: str) -> keras.layers.Dropout:
        """Return what stands between two layers, or after the last."""
        return keras.layers.Dropout(self.dropout_rate, name=name)

    def get_config(self) -> dict[str, Any]:
        """Return what :meth:`pop_from` takes out again."""
        return asdict(self)
