"""Version of the program, read by the build and the library."""

VERSION = "0.1.0"
