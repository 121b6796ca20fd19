"""Errors, console, files, paths, YAML."""
