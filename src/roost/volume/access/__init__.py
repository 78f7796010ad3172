"""A volume for Python programs: `Volume`, `AsyncVolume`, and the fsspec file system."""
