"""Text is UTF-8, whatever the locale: a model must not answer another question than was asked."""

import locale
import os
import sys
from collections.abc import Iterable

from rnnpipe.errors import SourceError


def ensure_utf8() -> None:
    """Begin this process anew in Python's UTF-8 mode (PEP 540) where it runs in another encoding.

    To be called before anything else is done; the children inherit it.
    """
    if sys.flags.utf8_mode or locale.getencoding().lower().replace("-", "") == "utf8":
        return
    os.environ["PYTHONUTF8"] = "1"
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def require_utf8(texts: Iterable[str], where: str) -> None:
    """Refuse text with bytes that are no UTF-8, which Python keeps as lone surrogates.

    Args:
        texts: as they came, in their order.
        where: what each is, for the message: ``line`` of standard input, ``text``.

    Raises:
        SourceError: names the first of them by its number.
    """
    for number, text in enumerate(texts, start=1):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise SourceError(
                f"{where} {number} holds bytes that are no UTF-8, at character {error.start + 1}:"
                " convert it first, for instance with iconv -f ISO-8859-1 -t UTF-8"
            ) from None
