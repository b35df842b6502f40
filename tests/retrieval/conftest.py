"""Databases of both kinds, as the tests of the store have them."""

from tests.store.conftest import database, database_url, migrated_file, postgres, sqlite_url

__all__ = ["database", "database_url", "migrated_file", "postgres", "sqlite_url"]
