"""The version of the program; the build and the library read it here."""

VERSION = "0.1.0"
