"""Representational similarity."""
