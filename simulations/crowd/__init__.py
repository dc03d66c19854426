"""The disks of thousands of virtual sites in one: what each would write into files of its own is a record in a few."""
