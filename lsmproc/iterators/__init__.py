"""Ordered reading: sources merged window by window, and the iterator that users hold."""
