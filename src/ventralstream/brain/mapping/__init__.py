"""Maps from a model's features to neuroids, and how well they predict."""
