"""All rules, in the order in which their findings are told. A cause comes before what it causes.

Of two findings that would change the same setting, the first one does: the other may be gone with it.
"""

from __future__ import annotations

from lsmproc.tuning.health_rules import HEALTH_RULES
from lsmproc.tuning.read_rules import READ_RULES
from lsmproc.tuning.rule import Rule
from lsmproc.tuning.stall_rules import STALL_RULES, WORKER_RULES
from lsmproc.tuning.write_rules import FLUSH_RULES, WRITE_RULES

RULES: tuple[Rule, ...] = (*HEALTH_RULES, *WORKER_RULES, *FLUSH_RULES, *STALL_RULES, *WRITE_RULES, *READ_RULES)
