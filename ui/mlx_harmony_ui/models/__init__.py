"""The Models tab as shown: what is on this machine, what of it can go, and what is in the trash. Pure; times and sizes are given."""
