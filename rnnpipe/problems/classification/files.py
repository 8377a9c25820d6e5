"""What sentiment's stages hand each other."""

from pathlib import Path

REVIEWS = Path("data/reviews.parquet")
SEQUENCES = Path("data/sequences")
WORD_VECTORS = Path("data/word_vectors.npy")
PRETRAINED = Path("data/pretrained")
LANGUAGE_MODEL = "start.npz"  # in it, if training starts from one
BASELINE = Path("data/baseline.parquet")
NETWORK = Path("models/network")
PREDICTIONS = Path("data/predictions")
REPORTS = Path("reports")
