"""Convolutions on a CPU in the form that is fastest."""
