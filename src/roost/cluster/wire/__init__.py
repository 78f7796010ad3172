"""Messages generated from proto/roost.proto by scripts/proto."""
