"""Settings of a store: one typed, frozen value, its documentation, its checks and its files.

Everything above this layer reads plain attributes of :class:`LSMConfig`; TOML, units and profiles end here.
"""

from __future__ import annotations

from lsmproc.config.lsm_config import LSMConfig
from lsmproc.config.option_changes import OptionChange
from lsmproc.config.profiles import profile_names
from lsmproc.config.sources import ResolvedConfig, Sources

__all__ = ["LSMConfig", "OptionChange", "ResolvedConfig", "Sources", "profile_names"]
