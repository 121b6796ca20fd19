"""The steps of the workflow, shards, manifests, recovery, settings, and the challenge entry."""
