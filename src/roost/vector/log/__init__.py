"""The log: framed, checksummed records, one writer, many followers."""
