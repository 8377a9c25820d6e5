"""Stages of this problem alone."""
