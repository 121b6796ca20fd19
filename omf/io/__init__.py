"""Files: photos, RAW, DNG, camera RAW, metadata."""
