"""Figures from labels and predictions alone, with their intervals and tests."""
