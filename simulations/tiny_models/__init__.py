"""Generated base models of a few thousand numbers: one file is one `base_model.source = "generated:NAME"`.

A module has `write(folder)`. The weights come from fixed seeds, so that every machine writes the same bytes.
"""
