"""A stronger model's answers become lessons for another one: asked, checked, chosen, compared."""
