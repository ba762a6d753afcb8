"""How fast background work goes, and how often: what an Env paces for all its stores.

:mod:`rate_limiter` grants bytes, :mod:`auto_rate` sets the rate from what comes in, and :mod:`ticker` is the one thread
for what has to happen from time to time.
"""
