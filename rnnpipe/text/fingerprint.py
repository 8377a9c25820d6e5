"""Which vocabulary a model's ids stand for: two that differ would turn every word into another."""

import hashlib

from rnnpipe.errors import RegistryError
from rnnpipe.text.vocabulary import Vocabulary


def vocabulary_fingerprint(vocabulary: Vocabulary) -> str:
    """Return the SHA-256 of all words in their order, in hexadecimal.

    >>> vocabulary_fingerprint(Vocabulary(("good", "not")))[:8]
    '31e04555'
    """
    # No word holds a line break: the rules that split text see to that.
    return hashlib.sha256("\n".join(vocabulary.words).encode()).hexdigest()


def require_same_vocabulary(expected: str, vocabulary: Vocabulary, what: str) -> None:
    """Make sure that a model and a vocabulary belong together.

    Args:
        expected: the fingerprint that the model keeps of its own vocabulary.
        vocabulary: the one it is to be used with.
        what: how an error calls the model.

    Raises:
        RegistryError: they do not.
    """
    found = vocabulary_fingerprint(vocabulary)
    if found != expected:
        raise RegistryError(
            f"{what} and the vocabulary do not belong together: it was trained with the one of"
            f" fingerprint {expected[:12] or '(none)'}, found {found[:12]} ({len(vocabulary):,}"
            " ids); take the vocabulary that lies beside the model, or train it again"
        )
