"""Rows that need no download: one file is one `simulation.data = "builtin:NAME"`.

A module has `write(folder)`, which returns the table's file, written into `folder` where it is generated. What is
generated comes from fixed seeds, so that every machine writes the same bytes; it describes nobody, and what a model
learns of it means nothing.
"""
