"""Recordings: assemblies of trials, their data sets, files and reliability."""
