"""The gate before anything is learnt: facts about the data, suites of expectations, a verdict.

Great Expectations takes seconds to import and is therefore loaded inside functions only. It sees
narrow tables of facts, never a text.
"""

import os

# Some versions send usage events unless told not to before their import.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
