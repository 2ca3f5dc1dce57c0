"""Getting models and the job tray as shown: what a search found, one model of the hub, how far jobs are. Pure; times are given."""
