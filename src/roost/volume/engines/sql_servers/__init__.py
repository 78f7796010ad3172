"""Metadata in MySQL (MariaDB) or PostgreSQL; `engine` says how, `opening` opens them by URL."""
