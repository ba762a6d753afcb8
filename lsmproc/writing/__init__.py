"""How a write becomes part of the store: its queue, its place in the log, and when it has to wait.

:mod:`write_path` tells the steps in their order, and everything else serves it: :mod:`commit` is one writer's place in
the queue, :mod:`log_segments` what it is written to, :mod:`write_controller` the brake.
"""
