"""Answers whose truth is known, for measuring judges."""
