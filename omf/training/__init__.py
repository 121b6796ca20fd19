"""Training of the OE and the NOE network on simulated pairs."""
