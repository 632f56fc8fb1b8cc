"""Compiled kernels: the slow parts of fitting and of exact decoding, in one pass over memory."""
