"""Layers: their specs (`specs`, without torch) and the modules built from them (`build`)."""
