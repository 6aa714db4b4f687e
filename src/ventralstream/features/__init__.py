"""What networks do, recorded: one pass over images, and what is done with it."""
