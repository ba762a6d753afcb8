"""All rules, in the order in which their findings are told: a setting that two would change, the first one changes."""

from __future__ import annotations

from lsmproc.tuning.health_rules import HEALTH_RULES
from lsmproc.tuning.read_rules import READ_RULES
from lsmproc.tuning.rule import Rule
from lsmproc.tuning.stall_rules import STALL_RULES
from lsmproc.tuning.write_rules import WRITE_RULES

RULES: tuple[Rule, ...] = (*HEALTH_RULES, *STALL_RULES, *WRITE_RULES, *READ_RULES)
