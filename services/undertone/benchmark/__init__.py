"""Detectors held against truth, beside those that people use today."""
