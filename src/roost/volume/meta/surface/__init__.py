"""The operations of an open volume, by what they work on.  `api.Meta` puts them together."""
