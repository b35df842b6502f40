"""Models that come into memory when they are asked for, and leave when others need the room."""
