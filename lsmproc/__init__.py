"""An embeddable LSM-tree key-value store whose flushes and compactions run in other processes."""
