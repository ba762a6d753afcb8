"""Settings of a store: one typed, frozen value, its documentation, its checks and its files.

Everything above this layer reads plain attributes of :class:`LSMConfig`; TOML, units and profiles end here.
"""

from __future__ import annotations

from lsmproc.config.lsm_config import LSMConfig
from lsmproc.config.profiles import profile_names

__all__ = ["LSMConfig", "profile_names"]
