"""Fits that end at a size, a rate or a quality that was asked for."""
