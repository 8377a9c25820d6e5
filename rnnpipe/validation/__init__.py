"""The gate before anything is learnt: facts about the data, suites of expectations, a verdict.

Great Expectations takes seconds to import and is therefore loaded inside functions only. It sees
narrow tables of facts, never a text.
"""

import os

# Some versions send usage events unless told not to before their import.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

from rnnpipe.validation.facts import review_facts, sequence_facts, series_facts
from rnnpipe.validation.suites import review_suite, sequence_suite, series_suite
from rnnpipe.validation.verdict import Checks, Outcome, Verdict, check, gate, require

__all__ = [
    "Checks",
    "Outcome",
    "Verdict",
    "check",
    "gate",
    "require",
    "review_facts",
    "review_suite",
    "sequence_facts",
    "sequence_suite",
    "series_facts",
    "series_suite",
]
