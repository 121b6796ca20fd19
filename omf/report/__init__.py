"""The report of a run: page, pictures, plots, provenance."""
