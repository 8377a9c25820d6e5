"""How its reports speak."""

from rnnpipe.reporting.wording import Wording

WORDING = Wording(
    "points", "mean", "the mean of all", metrics={"mse": ("Squared error of the slope", False)}
)
