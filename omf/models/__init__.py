"""The list of models, their weights, downloads and the hub."""
