"""On-disk and on-wire formats: bytes in, bytes out. Nothing here opens a file or asks the clock."""
