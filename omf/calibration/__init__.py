"""Fit camera profiles to real pairs."""
