"""Settings, parsed once at the edge."""
