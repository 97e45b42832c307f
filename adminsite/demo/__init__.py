"""The demo: everything on this machine, and a simulated shop. Its files are in var/demo, empty at each start."""
