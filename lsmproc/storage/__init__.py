"""Log, tables and manifest on disk: the only layer that opens files, always through a ``FileSystem``."""
