"""Vector stores: tables and the text index, as revision_0002 makes them."""
